"""A page of the case book: words given, figures from the advisor's answers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.recommendation import Option, Recommendation
from advisor.tables import ranking, reasons, units
from advisor.tables.table import Cell, Column, Table, escape

TOP = 6  # rows of the ranking
Others = Sequence[tuple[str, Recommendation]]


@dataclass(frozen=True, slots=True)
class Words:
    """What a person wrote about a case."""

    scenario: str
    title: str
    situation: str
    mind: tuple[str, ...]


def page(
    words: Words,
    main: Recommendation,
    others: Others,
    extra: Sequence[str],
    contrasts: Sequence[tuple[str, Option]],
    scenario_yaml: str,
) -> str:
    """The page in Markdown.

    Args:
        words: the situation.
        main: the answer to the scenario.
        others: the answers to changed scenarios, each with the change in words.
        extra: further blocks for the section on what would turn the answer.
        contrasts: deployments that are not advised, simulated to show why, each in words.
        scenario_yaml: the scenario file as it stands.
    """
    parts = [
        f"# {words.title}",
        f"<!-- Written by `python -m benchmarks.build_cases {words.scenario}`; words in cases.yaml. -->",
        textwrap.fill(words.situation, 110, break_on_hyphens=False),
        "## The answer",
        escape(main.summary),
        _table(ranking.ranking(main, TOP)),
        "## The reason",
        *_reason(main),
        *([_table(beside(contrasts))] if contrasts else []),
        "## The figure that would turn it",
        f"{escape(turn_line(main, others))}.",
        _table(what_ifs(main, others)),
        *_turns(main),
        *extra,
        "## What to mind",
        "\n".join(f"- {line.strip()}" for line in words.mind),
        "## Run it",
        f"```sh\nadvisor scenario example {words.scenario} > mine.yaml\nadvisor recommend mine.yaml\n```",
        f"```yaml\n{scenario_yaml.rstrip()}\n```",
        escape(
            f"{main.candidates:,} configurations, {main.simulations:,} simulations, seed {main.seed}; "
            f"{main.producer}. Estimates of a simulator: docs/validation.md says how good they are."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _reason(main: Recommendation) -> list[str]:
    parts = []
    if main.explanation is not None:
        parts += [escape(main.explanation.text), _table(reasons.differences(main.explanation))]
    if main.slots is not None and len(main.slots.max_loras) > 1:
        parts.append(_table(reasons.slots(main.slots)))
    return parts


def _turns(main: Recommendation) -> list[str]:
    turning = tuple(turn for turn in main.turns if turn.turns)
    stands = [f"{turn.what} {turn.value}" for turn in main.turns if not turn.turns]
    parts = [_table(reasons.turns(main, turning))] if turning else []
    if stands:
        parts.append(escape(f"The way to serve and the device stand with {'; '.join(stands)}."))
    return parts


def _table(content: Table) -> str:
    return f"{content.markdown()}\n\n*{escape(content.caption)}*"


def what_ifs(main: Recommendation, others: Others) -> Table:
    """The answer as asked and with each change."""
    rows: list[tuple[Cell, ...]] = []
    for words, answer in (("as asked", main), *others):
        best = ranking.recommended(answer)
        if best is None:
            rows.append((words, "nothing meets the objective", None, None, None, None))
            continue
        slots = best.limits.max_loras if best.limits is not None and best.limits.max_loras else None
        assert best.outcome is not None
        rows.append(
            (
                words,
                ranking.label(best),
                best.usd_per_hour,
                slots,
                best.outcome.ttft.p95_s,
                best.outcome.tpot.p99_s,
            )
        )
    return Table(
        "what-if",
        "The same question with one change each.",
        (
            Column("if"),
            Column("the answer"),
            Column("$/h", "usd"),
            Column("max_loras", "count"),
            Column("TTFT p95", "ms"),
            Column("TPOT p99", "ms"),
        ),
        tuple(rows),
    )


def beside(contrasts: Sequence[tuple[str, Option]]) -> Table:
    """Deployments that somebody might have chosen, on the whole traffic."""
    rows: list[tuple[Cell, ...]] = []
    for words, option in contrasts:
        out = option.outcome
        assert out is not None  # a deployment that cannot run raises
        verdict = "holds" if option.feasible else "broken"
        spread = (out.ttft.p50_s, out.ttft.p95_s, out.tpot.p99_s)
        rows.append((words, ranking.label(option), option.usd_per_hour, *spread, out.loads_to_slot, verdict))
    return Table(
        "beside",
        "Simulated for comparison, on the whole traffic.",
        (
            Column("what if one took"),
            Column("that is"),
            Column("$/h", "usd"),
            Column("p50", "ms", "TTFT"),
            Column("p95", "ms", "TTFT"),
            Column("p99", "ms", "TPOT"),
            Column("loads into slots", "count"),
            Column("limits"),
        ),
        tuple(rows),
    )


def turn_line(main: Recommendation, others: Others) -> str:
    """What would turn the answer, in one line."""
    best = ranking.recommended(main)
    if best is None:
        return "Nothing meets the objective as it is asked"
    said = [f"with {words} it is {_against(best, ranking.recommended(answer))}" for words, answer in others]
    if best.headroom is not None:
        said.append(f"a limit breaks at {units.times(best.headroom)} the load")
    line = "; ".join(said)
    return line[:1].upper() + line[1:]


def _against(best: Option, other: Option | None) -> str:
    if other is None:
        return "nothing that meets the objective"
    label, price = ranking.label(other), ""
    if other.usd_per_hour is not None:
        price = f" at ${units.usd(other.usd_per_hour)}/h"
        if best.usd_per_hour:
            price += f" ({units.times(other.usd_per_hour / best.usd_per_hour)} the price)"
    return f"{label}{price}"


def against_tokens(
    main: Recommendation, offer: str, usd_per_mtok_input: float, usd_per_mtok_output: float, source: str
) -> list[str]:
    """The deployment's price against tokens bought, and the traffic at which they cost the same."""
    best, facts = ranking.recommended(main), main.workload
    if best is None or best.usd_per_hour is None:
        return []
    request_usd = (
        facts.prompt_tokens_mean * usd_per_mtok_input + facts.output_tokens_mean * usd_per_mtok_output
    ) / 1e6
    tokens_usd = request_usd * facts.rate_rps * 3600
    equal_rps = best.usd_per_hour / 3600 / request_usd
    cheaper = "cheaper" if best.usd_per_hour < tokens_usd else "dearer"
    return [
        (
            f"Bought as tokens of {offer} (a million for ${usd_per_mtok_input:.2f} in and "
            f"${usd_per_mtok_output:.2f} out), {units.significant(facts.rate_rps)} requests/s of this length "
            f"cost ${units.usd(tokens_usd)} an hour; the deployment costs ${units.usd(best.usd_per_hour)} "
            f"and is {cheaper}. Both cost the same at **{units.significant(equal_rps)} requests/s** on "
            f"average over day and night: below that, tokens are the cheaper. Price: {source}."
        )
    ]


def idle_hours(main: Recommendation, busy_hours: Sequence[int]) -> list[str]:
    """What a token costs if the deployment is used for some hours of the day and paid for all of them."""
    best = ranking.recommended(main)
    if best is None or best.usd_per_hour is None or best.outcome is None:
        return []
    mtok_per_h = best.outcome.total_tokens_per_s * 3600 / 1e6
    rows = tuple(
        (hours, best.usd_per_hour * 24, best.usd_per_hour * 24 / (mtok_per_h * hours), hours / 24)
        for hours in busy_hours
    )
    table = Table(
        "idle",
        "Replicas stand for 24 hours and work for some; nothing is switched off in between.",
        (
            Column("busy hours a day", "count"),
            Column("a day", "usd", unit="$"),
            Column("a million tokens", "usd", unit="$"),
            Column("hours in use", "share"),
        ),
        rows,
    )
    return [_table(table)]


def index(cases: Sequence[tuple[str, str, dict[str, str]]]) -> str:
    """The list of all cases.

    Args:
        cases: scenario, title, and the lines `answer` and `turn`, in the order of the book.
    """
    head = (
        "# Case book\n\n"
        "Situations that people have, each with its scenario, the answer, the reason, and the figure that\n"
        "would turn it. Written by `python -m benchmarks.build_cases`; tests ask some anew and compare.\n\n"
        "Figures are estimates of a simulator with public device profiles and prices of the dated list:\n"
        "what holds for your traffic, prices and device, ask with your own scenario.\n\n"
        "| situation | the answer | what would turn it |\n|---|---|---|\n"
    )
    rows = [
        f"| [{escape(title)}]({name}.md) | {escape(line['answer'])} | {escape(line['turn'])} |\n"
        for name, title, line in cases
    ]
    return head + "".join(rows)
