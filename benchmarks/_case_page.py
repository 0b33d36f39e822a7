"""A page of the case book: words given, figures from the advisor's answers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.recommendation import Option, Recommendation
from advisor.tables import ranking, reasons, sure, units
from advisor.tables.table import Cell, Column, Table, escape
from benchmarks import _case_turns

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
        f"**{_plain(ranking.headline(main))}.**",
        _plain(main.summary.replace("see the list of origins", "the last table of the reason says which")),
        _table(_ranked(main)),
        "## The reason",
        *_reason(main),
        *([_table(beside(contrasts))] if contrasts else []),
        *([_table(_terms(main))] if main.terms else []),
        "## The figure that would turn it",
        "\n".join(f"- {_plain(line)}." for line in _case_turns.lines(main, others)),
        _table(what_ifs(main, others)),
        *_turns(main),
        *extra,
        "## What to mind",
        "\n".join(f"- {line.strip()}" for line in words.mind),
        "## Run it",
        _command(words.scenario, main.certainty.draws if main.certainty else 0),
        f"```yaml\n{scenario_yaml.rstrip()}\n```",
        _plain(
            f"{main.candidates:,} configurations, {main.simulations:,} simulations, seed {main.seed}; "
            f"{main.producer}. Estimates of a simulator: "
        )
        + "[validation](../validation.md) says how good they are.",
    ]
    return "\n\n".join(parts) + "\n"


def _command(scenario: str, draws: int) -> str:
    asked = f"advisor recommend mine.yaml --sure {draws}"
    return f"```sh\nadvisor scenario example {scenario} > mine.yaml\n{asked}\n```"


def _plain(text: str) -> str:
    """A text of the advisor as it reads on a page."""
    return escape(text.replace("->", "→"))


def _ranked(main: Recommendation) -> Table:
    """The ranking without the columns that this objective does not ask for."""
    table, best = ranking.ranking(main, TOP), ranking.recommended(main)
    asked = {"e2e", "goodput"} & {check.metric for check in (best.checks if best is not None else ())}
    spare = {"E2E": "e2e", "goodput": "goodput"}
    keep = [
        index
        for index, column in enumerate(table.columns)
        if spare.get(column.group or column.title, "") in ("", *asked)
    ]
    return table.columns_of(keep)


def _reason(main: Recommendation) -> list[str]:
    parts = []
    if main.explanation is not None:
        parts += [_plain(main.explanation.text), _table(reasons.differences(main.explanation))]
    if main.slots is not None and len(main.slots.max_loras) > 1:
        parts.append(_table(reasons.slots(main.slots)))
    return parts


def _terms(main: Recommendation) -> Table:
    table = reasons.terms(main.terms)
    return table.columns_of([i for i, column in enumerate(table.columns) if column.title != "source"])


def _turns(main: Recommendation) -> list[str]:
    turning = tuple(turn for turn in main.turns if turn.turns)
    parts = [_table(reasons.turns(main, turning))] if turning else []
    if main.certainty is not None:
        tips = sure.tips(main, main.certainty)
        parts += [_table(tips)] if tips.rows else []
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
    best, facts = ranking.recommended(main), main.workload
    if best is None or best.usd_per_hour is None:
        return []
    mtok_per_h = facts.rate_rps * (facts.prompt_tokens_mean + facts.output_tokens_mean) * 3600 / 1e6
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
        cases: scenario, title, and the lines `answer`, `price` and `turn`, in the order of the book.
    """
    head = (
        "# Case book\n\n"
        "<!-- Written by `python -m benchmarks.build_cases`; words in cases.yaml. -->\n\n"
        "Situations that people have, each with its scenario, the answer, the reason, and the figure that\n"
        "would turn it. `python -m benchmarks.build_cases` asks all of them anew and writes these pages\n"
        "(some minutes on one core); the tests ask two of them and compare every byte.\n\n"
        "The figures are estimates of a simulator with public device profiles and the prices of a dated\n"
        "list. For your traffic, your prices and your device, change a copy of the scenario and ask again:\n"
        "each page ends with the command.\n\n"
        "| situation | the answer | $/h | what would turn it |\n|---|---|---:|---|\n"
    )
    rows = [
        f"| [{escape(title)}]({name}.md) | {_plain(line['answer'])} | {line['price']} "
        f"| {_plain(line['turn'])} |\n"
        for name, title, line in cases
    ]
    return head + "".join(rows)
