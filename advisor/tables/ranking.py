"""Options beside each other: ranked, refused, held against the objective."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from advisor.recommendation import (
    LimitAtLoad,
    Option,
    Outcome,
    Recommendation,
    SloCheck,
    SpecChoice,
)
from advisor.tables import units
from advisor.tables.table import Cell, Column, Mark, Table

WAYS: Final = {"base": "base", "multi-lora": "multi-LoRA", "merged": "merged", "hybrid": "hybrid"}
_DRAFTS: Final = {"ngram": "n-gram", "draft_model": "draft model", "eagle3": "EAGLE-3"}
_METRICS: Final = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "goodput": "goodput"}


def serving(option: Option) -> str:
    """How an option serves, in words: multi-LoRA + EAGLE-3×3."""
    if option.bought is not None:
        return f"serverless, {option.bought.provider}"
    scaled = ", fp8" * option.quantised + ("" if option.scaling is None else ", scaled")
    if option.speculation is None:
        return f"{way_label(option)}{scaled}"
    draft = f"{draft_label(option.speculation)}×{option.speculation.draft_length}"
    return f"{way_label(option)} + {draft}{scaled}"


def way_label(option: Option) -> str:
    """The way in words, with the number of merged adapters where it is a choice."""
    merged = sum(pool.merged for pool in option.pools)
    return f"hybrid, {merged} merged" if option.way == "hybrid" and merged else WAYS[option.way]


def draft_label(spec: SpecChoice) -> str:
    """A draft in words: n-gram, or EAGLE-3 custom where several of a method are compared."""
    return _DRAFTS[spec.method] + spec.name.removeprefix(spec.method).replace("-", " ")


def hardware(option: Option) -> str:
    """What an option runs on: 2× L40S-48, or 4× H100-80-SXM (TP 2)."""
    if option.bought is not None:
        return f"by the token (as if on {option.device})"
    parallel = f" (TP {option.tensor_parallel})" if option.tensor_parallel > 1 else ""
    least = "" if option.scaling is None else f"{option.scaling.min_replicas * option.tensor_parallel}–"
    return (
        f"{least}{option.devices}× {option.device}{parallel}"
        if option.devices
        else f"{option.device}{parallel}"
    )


def label(option: Option) -> str:
    """Way and hardware in one line."""
    return f"{serving(option)} on {hardware(option)}"


def option_of(rec: Recommendation, key: str) -> Option | None:
    """The option of this key; None where the answer holds none."""
    return next((option for option in rec.options if option.key == key), None)


def recommended(rec: Recommendation) -> Option | None:
    """The recommended option; None where nothing meets the objective."""
    return None if rec.recommended is None else option_of(rec, rec.recommended)


def named(rec: Recommendation, key: str) -> str:
    """An option's label, or its key where the answer does not hold it."""
    option = option_of(rec, key)
    return key if option is None else f"{serving(option)} on {option.device}"


def headline(rec: Recommendation) -> str:
    """The answer in one line."""
    best = recommended(rec)
    if best is None:
        return "Nothing meets the objective"
    way = {
        "base": "the base model",
        "multi-lora": "from one multi-LoRA pool",
        "merged": "one merged deployment each",
        "hybrid": "the hottest merged, the rest from one multi-LoRA pool",
    }[best.way]
    draft = "" if best.speculation is None else " with speculative decoding"
    price = f" at ${units.usd(best.usd_per_hour)}/h" if best.usd_per_hour is not None else ""
    return f"Serve {way}{draft} on {hardware(best)}{price}"


_COLUMNS: Final = (
    Column("#", "text"),
    Column("way to serve"),
    Column("devices"),
    Column("$/h", "usd", weight=20),
    Column("$/Mtok", "usd", weight=9),
    Column("p50", "ms", "TTFT", weight=7),
    Column("p95", "ms", "TTFT", weight=4),
    Column("p99", "ms", "TTFT", weight=19),
    Column("p50", "ms", "TPOT", weight=6),
    Column("p95", "ms", "TPOT", weight=3),
    Column("p99", "ms", "TPOT", weight=18),
    Column("p50", "s", "E2E", weight=2),
    Column("p95", "s", "E2E", weight=1),
    Column("p99", "s", "E2E", weight=5),
    Column("goodput", "share", weight=8),
    Column("headroom", "times", weight=10),
    Column("figures", weight=11),
)


def _figures(option: Option) -> tuple[Cell, ...]:
    out = option.outcome
    if out is None:
        return (None,) * 10
    spread = tuple(value for p in (out.ttft, out.tpot, out.e2e) for value in (p.p50_s, p.p95_s, p.p99_s))
    return (*spread, out.goodput_share)


def _row(number: str, option: Option) -> tuple[Cell, ...]:
    return (
        number, serving(option), hardware(option), option.usd_per_hour, option.usd_per_mtok,
        *_figures(option), option.headroom, option.origin.value,
    )  # fmt: skip


def _marks(rec: Recommendation, options: Iterable[Option]) -> tuple[Mark, ...]:
    def mark(option: Option) -> Mark:
        if option.key == rec.recommended:
            return "recommended"
        return "reference" if option.is_reference else ""

    return tuple(mark(option) for option in options)


def compared(rec: Recommendation, top: int = 0) -> list[Option]:
    """Options that meet the objective, best first: the first `top` ways to serve (0: all).

    Beside them stands the best base model on each of their devices; where nothing else holds, the base
    models alone.
    """
    feasible = [option for option in rec.options if option.feasible]
    serving_ = [option for option in feasible if not option.is_reference]
    kept = serving_[:top] if top else serving_
    devices = {option.device for option in kept or feasible}
    references: dict[str, Option] = {}
    for option in feasible:
        if option.is_reference and option.device in devices:
            references.setdefault(option.device, option)
    shown = {option.key for option in (*kept, *references.values())}
    return [option for option in feasible if option.key in shown]


def ranking(rec: Recommendation, top: int = 0) -> Table:
    """Options that meet the objective, best first. The base has no rank: it cannot serve the adapters.

    Args:
        rec: the answer.
        top: how many ways to serve; 0: all.
    """
    options = compared(rec, top)
    ranks, rank = [], 0
    for option in options:
        rank += not option.is_reference
        ranks.append("ref" if option.is_reference else str(rank))
    return Table(
        "ranking",
        "Ways to serve that meet the objective, best first. ref: the best base model on the same device, for "
        "comparison; it cannot serve the adapters. headroom: the load, in multiples of yours, at which a "
        "limit breaks, found for the best few. figures: the least certain origin among those that matter.",
        _COLUMNS,
        tuple(_row(rank, option) for rank, option in zip(ranks, options, strict=True)),
        _marks(rec, options),
    )


def refused(rec: Recommendation) -> Table:
    """Options that do not meet the objective, each with its reason."""
    options = [option for option in rec.options if not option.feasible]
    return Table(
        "refused",
        "Ways that do not meet the objective, and what stands in the way.",
        (
            Column("way to serve"),
            Column("devices"),
            Column("$/h", "usd", weight=3),
            Column("p99", "ms", "TTFT", weight=2),
            Column("p99", "ms", "TPOT", weight=1),
            Column("bound by"),
        ),
        tuple(
            (serving(o), hardware(o), o.usd_per_hour, *_p99(o.outcome), o.bound or units.DASH)
            for o in options
        ),
        tuple("reference" if o.is_reference else "" for o in options),
        tuple(o.reason for o in options),
    )


def _p99(out: Outcome | None) -> tuple[Cell, Cell]:
    return (None, None) if out is None else (out.ttft.p99_s, out.tpot.p99_s)


def limit_name(check: SloCheck | LimitAtLoad) -> str:
    """A limit in words: TTFT p99."""
    percentile = "" if check.percentile is None else f" p{check.percentile:g}"
    return f"{_METRICS[check.metric]}{percentile}"


def limit_value(check: SloCheck, value: float) -> str:
    """A limit's value with its unit."""
    return f"{units.share(value)} %" if check.metric == "goodput" else units.duration(value)


def checks(option: Option) -> Table:
    """The objective's limits against what was simulated."""
    rows = tuple(
        (limit_name(c), limit_value(c, c.limit), limit_value(c, c.value), "holds" if c.holds else "broken")
        for c in option.checks
    )
    return Table(
        "limits",
        "The objective against the simulation.",
        (Column("limit"), Column("asked"), Column("simulated"), Column("verdict")),
        rows,
        tuple("" if c.holds else "bad" for c in option.checks),
    )
