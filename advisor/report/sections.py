"""What an answer says and in which order: sections of words, tables and figures, the same for every face."""

from __future__ import annotations

from typing import Final, Literal

from advisor.recommendation import Knee, Option, Recommendation
from advisor.report.section import Figure, Section
from advisor.tables import bytoken, detail, fronts, ranking, reasons, sure, units

NOT_MODELLED: Final = (  # the same list as in docs/explanation/model.md
    "Mixtures of experts, multi-head latent attention, sliding windows, quantised KV caches.",
    "Multimodal inputs and structured output.",
    "Pipeline, expert and context parallelism; disaggregated prefill.",
    "A mix of ranks inside one batch beyond padding to the largest.",
    "The network between your clients and the server, and the queue of a gateway of your own.",
    "The quality of a merged model (rounding a small delta into bf16 or fp8), and of quantised weights.",
    "Noisy neighbours on a shared machine, thermal throttling.",
    "Discounts and daily changes of price: prices are those of the dated list, or yours under prices.own.",
)


def sections(rec: Recommendation) -> tuple[Section, ...]:
    """Every section that this answer has something to say in."""
    best = ranking.recommended(rec)
    found = (
        _answer(rec, best),
        _ranking(rec),
        _refused(rec),
        _why(rec),
        _causes(rec),
        _knee(rec, best),
        _slots(rec),
        _run(best),
        _memory(best),
        _turns(rec),
        _sure(rec),
        _tokens(rec),
        _terms(rec),
        _workload(rec),
        Section("limits", "What is not modelled", bullets=NOT_MODELLED, detail=True),
        _next(rec),
    )
    return tuple(section for section in found if section is not None)


def _answer(rec: Recommendation, best: Option | None) -> Section:
    title = "The answer" if best else "Nothing meets the objective"
    shown = (ranking.checks(best), fronts.spread(best)) if best else ()
    tables = tuple(table for table in shown if table.rows)
    return Section("answer", title, (rec.summary,), best.warnings if best else (), tables=tables)


def _ranking(rec: Recommendation) -> Section | None:
    from advisor.plots import cost, load

    table = ranking.ranking(rec)
    figures = (
        [
            Figure(
                "prices",
                "What each costs. The outline says how sure its latency is.",
                lambda: cost.prices(ranking.compared(rec, _BARS), rec.recommended),
            ),
            Figure(
                "spread",
                "Time to first token, p50 to p99; the line says how sure it is.",
                lambda: load.ranges(_named(rec), "ttft"),
            ),
        ]
        if table.rows
        else []
    )
    figures += [
        Figure(
            f"cost-{metric}",
            f"Cost against {metric.upper()}. Filled: meets the objective; hollow: does not. The green line "
            "joins the options that no other one beats in both; the ring is the recommended one.",
            lambda metric=metric: cost.cost_latency(rec, metric),  # type: ignore[misc]
        )
        for metric in ("ttft", "tpot")
        if cost.points(rec, metric)
    ]
    if not table.rows and not figures:
        return None
    words = () if table.rows else ("No option meets the objective; the charts show how near they come.",)
    tables = tuple(one for one in (table, fronts.fronts(rec)) if one.rows)
    return Section(
        "ranking", "The ways to serve, ranked", words, (), tuple(figures), tables, tables_first=True
    )


def _named(rec: Recommendation) -> list[tuple[str, Option]]:
    return [(f"{ranking.serving(o)} · {ranking.hardware(o)}", o) for o in ranking.compared(rec, _BARS)]


_BARS: Final = 8  # ways to serve in a chart; their base models come on top


def _refused(rec: Recommendation) -> Section | None:
    table = ranking.refused(rec)
    if not table.rows:
        return None
    return Section(
        "refused", "What does not serve you, and why", tables=(table,), detail=bool(rec.recommended)
    )


def _why(rec: Recommendation) -> Section | None:
    from advisor.plots import why

    found = rec.explanation
    if found is None:
        return None
    idle, queueing = units.duration(found.unloaded_ttft_s), units.duration(found.queueing_ttft_s)
    queue = (
        f"A single request on an idle base replica sees its first token after {idle}; the load adds "
        f"{queueing} to the base's mean."
    )
    figures = tuple(
        Figure(
            f"steps-{metric}",
            f"Mean {metric.upper()}: from the base to this deployment, same replicas. Red adds, green saves.",
            lambda metric=metric: why.waterfall(found, metric),  # type: ignore[misc]
        )
        for metric in ("ttft", "tpot")
    )
    title = f"Why it is not as fast as the base: {ranking.named(rec, found.option)}"
    return Section("why", title, (found.text, queue), (), figures, (reasons.differences(found),))


def _causes(rec: Recommendation) -> Section | None:
    from advisor.plots import why

    found = rec.explanation
    if found is None:
        return None
    figures = tuple(
        Figure(f"causes-{part}", caption, lambda part=part: why.causes(found.base, found.deployment, part))  # type: ignore[misc]
        for part, caption in (
            ("ttft", "Mean time to the first token by cause."),
            ("decode", "Mean time from the first token to the last, by cause."),
        )
    )
    table = reasons.causes(found.base, found.deployment)
    return Section("causes", "Where each millisecond goes", (), (), figures, (table,), detail=True)


def _knee(rec: Recommendation, best: Option | None) -> Section | None:
    from advisor.plots import load

    curve = rec.knee
    if curve is None:
        return None
    words: tuple[str, ...] = ()
    if best is not None and best.headroom is not None:
        most = units.times(best.headroom)
        words = (f"With the replicas as they are, the limits hold up to {most} the asked load.",)
    figures = tuple(
        Figure(
            f"knee-{metric}",
            f"Load against {_knee_name(curve, metric)}; the grey line is the asked load.",
            lambda metric=metric: load.knee(rec, curve, metric),  # type: ignore[misc]
        )
        for metric in _LATENCIES
    )
    return Section("knee", "The knee: how much more it carries", words, (), figures, (reasons.knee(curve),))


_LATENCIES: Final[tuple[Literal["ttft", "tpot"], ...]] = ("ttft", "tpot")


def _knee_name(curve: Knee, metric: Literal["ttft", "tpot"]) -> str:
    from advisor.plots.load import knee_limit

    limit = knee_limit(curve, metric)
    return ranking.limit_name(limit) if limit else f"{metric.upper()} p99"


def _slots(rec: Recommendation) -> Section | None:
    from advisor.plots import load

    sweep = rec.slots
    if sweep is None:
        return None
    words = (
        (
            "Too few slots make requests wait for their adapter; too many take KV memory and kernel time. "
            f"Chosen here: {sweep.chosen}."
        ),
    )
    figure = Figure(
        "slots",
        "One replica at its share of the load; the ring is the chosen value.",
        lambda: load.slots(sweep),
    )
    return Section("slots", "How many adapter slots", words, (), (figure,), (reasons.slots(sweep),))


def _run(best: Option | None) -> Section | None:
    if best is None:
        return None
    tables = [detail.settings(best)]
    if len(best.pools) > 1:
        tables.append(detail.pools(best).head(_POOLS_SHOWN))
    return Section("run", "How to run it", tables=tuple(tables))


_POOLS_SHOWN: Final = 12


def _memory(best: Option | None) -> Section | None:
    from advisor.plots import why

    if best is None or best.memory is None:
        return None
    plan = best.memory
    figure = Figure("memory", f"Memory of each {best.device}.", lambda: why.memory(plan))
    return Section("memory", "The memory plan", (), (), (figure,), (reasons.memory(plan),), detail=True)


def _turns(rec: Recommendation) -> Section | None:
    if not rec.turns:
        return None
    return Section("turns", "What would turn the advice", tables=(reasons.turns(rec, rec.turns),))


def _sure(rec: Recommendation) -> Section | None:
    found = rec.certainty
    if found is None:
        return None
    text = found.text
    for key in sorted(found.compared, key=len, reverse=True):  # no key is within another that is longer
        text = text.replace(key, ranking.named(rec, key))
    return Section("sure", "How sure", (text,), tables=sure.tables(rec, found))


def _tokens(rec: Recommendation) -> Section | None:
    if not rec.tokens:
        return None
    return Section("tokens", "Or buy tokens", (bytoken.words(rec),), tables=(bytoken.offers(rec),))


def _terms(rec: Recommendation) -> Section | None:
    from advisor.plots import why

    if not rec.terms:
        return None
    words = (
        (
            "Measured: on this device and engine, by us or by the named public source. Fitted: an equation "
            "fitted to such measurements. Extrapolated: measured elsewhere and carried over. Estimated: "
            "computed by a stated rule. Datasheet: vendor peaks times a typical efficiency."
        ),
    )
    figure = Figure(
        "terms",
        "Which terms the busy time rests on. The line is where the truth lies with about 90 %.",
        lambda: why.terms(rec.terms),
    )
    return Section("terms", "Measured or estimated", words, (), (figure,), (reasons.terms(rec.terms),))


def _workload(rec: Recommendation) -> Section:
    words = (f"Objective: {rec.objective}.",)
    return Section(
        "workload", "What was asked", words, rec.workload.notes, (), (detail.workload(rec.workload),)
    )


def _next(rec: Recommendation) -> Section | None:
    return Section("next", "Where to go next", bullets=rec.next_steps) if rec.next_steps else None
