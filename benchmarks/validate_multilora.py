"""The simulator against 294 one-hour runs of a multi-LoRA server: `python -m benchmarks.validate_multilora`.

Reads the public measurements in the folder named by LORA_ADVISOR_DATA. Prints the tables, writes them into
docs/validation.md, every pair into benchmarks/results/multilora_pairs.csv and a plot beside it. A sample
(`--runs N`) prints and writes nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from joblib import Parallel, delayed

from advisor.errors import AdvisorError
from advisor.files import write_text
from benchmarks._page import ROOT, replace_block, table
from benchmarks._server_client import Law, Lengths
from benchmarks._server_hour import Server, counted, servers, simulate_hour
from benchmarks._server_runs import METRICS, Measured, Run, read_hours
from benchmarks.build_profiles import data_folder

PAGE = ROOT / "docs" / "validation.md"
RESULTS = ROOT / "benchmarks" / "results"
SHOWN = {
    "output_tokens_per_s": ("output tokens/s", 1.0),
    "itl_mean_s": ("mean ITL, ms", 1e3),
    "tpot_mean_s": ("mean TPOT, ms", 1e3),
    "ttft_mean_s": ("mean TTFT, s", 1.0),
    "ttft_p50_s": ("median TTFT, s", 1.0),
}
STARVED = 0.95
"""A server that ends less than this share of the requests sent within the hour is past its knee."""
AS_GOOD = 0.02
"""Settings within this share of the best throughput are told apart by their mean TTFT."""

SHAPES = {
    "as assumed": Lengths(),
    "independent": replace(Lengths(), opposite=0.5),
    "strictly opposite": replace(Lengths(), opposite=1.0),
    "all equal to the mean": Lengths(Law(1.0, 0.998, 1.002, 1e4), Law(1.0, 0.998, 1.002, 1e4), 0.5),
}
"""Laws of prompt and answer lengths, for the table of sensitivity."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One run, as measured and as predicted."""

    run: Run
    predicted: Measured
    sent: int

    def error(self, metric: str) -> float:
        """Symmetric absolute error, 2 |p - m| / (p + m)."""
        ours, theirs = getattr(self.predicted, metric), getattr(self.run.measured, metric)
        return float(2.0 * abs(ours - theirs) / (ours + theirs))

    @property
    def starved(self) -> bool:
        """Whether the real server was past its knee."""
        return self.run.measured.completed < STARVED * self.sent

    @property
    def right_side(self) -> bool:
        """Whether the simulated server is on the same side of the knee."""
        return (self.predicted.completed < STARVED * self.sent) == self.starved


@click.command(help=__doc__)
@click.option(
    "--runs", type=click.IntRange(1), default=None, help="A sample of so many runs; all if left out."
)
@click.option(
    "--only", default="", help="Only runs whose key holds this text, such as llama-3.1-8b-instruct/r16/0.1."
)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Simulate under every assumption about lengths; the sample's default is 24 runs.",
)
def main(runs: int | None, only: str, jobs: int, sensitivity: bool) -> None:
    """Simulate, print, write."""
    try:
        folder = data_folder()
        chosen = [run for run in read_hours(folder) if only in run.key]
        whole = runs is None and not only
        if sensitivity:
            text = sensitivity_table(sample(chosen, runs or 24), servers(folder), jobs)
            print(text)
            if whole:
                replace_block(PAGE, "multilora-lengths", text)
            return
        pairs = predict(sample(chosen, runs), servers(folder), Lengths(), jobs)
        text = summary(pairs)
        print(text)
        if whole:
            write(pairs, text)
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def sample(runs: Sequence[Run], count: int | None) -> list[Run]:
    """Every run, or some drawn with a fixed seed."""
    if count is None or count >= len(runs):
        return list(runs)
    picked = np.random.default_rng(0).choice(len(runs), count, replace=False)
    return [runs[index] for index in sorted(picked)]


def predict(runs: Sequence[Run], known: dict[str, Server], shape: Lengths, jobs: int) -> list[Pair]:
    """Simulate every run, the heavy ones first."""
    order = sorted(range(len(runs)), key=lambda i: -runs[i].adapters * max(runs[i].rates_rps))
    work = (delayed(_pair)(runs[index], known[runs[index].model], shape) for index in order)
    done = dict(zip(order, Parallel(n_jobs=jobs, batch_size=1)(work), strict=True))
    return [done[index] for index in range(len(runs))]


def _pair(run: Run, server: Server, shape: Lengths) -> Pair:
    trace, result = simulate_hour(run, server, shape)
    return Pair(run, counted(result), len(trace))


def summary(pairs: Sequence[Pair]) -> str:
    """Every table of the page's block."""
    groups: list[tuple[str, Callable[[Pair], bool]]] = [
        ("**all runs**", lambda pair: True),
        ("not starved", lambda pair: not pair.starved),
        ("starved", lambda pair: pair.starved),
    ]
    for model, rank, rate in sorted({(p.run.model, p.run.rank, max(p.run.rates_rps)) for p in pairs}):
        groups.append((f"{model}, rank {rank}, {rate:g} requests/s", _is(model, rank, rate)))
    rows = []
    for name, belongs in groups:
        some = [pair for pair in pairs if belongs(pair)]
        if some:
            means = [f"{100 * float(np.mean([p.error(metric) for p in some])):.1f} %" for metric in SHOWN]
            side = f"{100 * float(np.mean([p.right_side for p in some])):.0f} %"
            rows.append((name, str(len(some)), *means, side))
    head = ("runs", "number", *(name.split(",")[0] for name, _ in SHOWN.values()), "right side of the knee")
    medians = [f"{100 * float(np.median([p.error(metric) for p in pairs])):.1f} %" for metric in SHOWN]
    rows.insert(1, ("median of all runs instead of the mean", str(len(pairs)), *medians, ""))
    return "\n".join([table(head, rows), choices(pairs), worst(pairs)])


def _is(model: str, rank: int, rate: float) -> Callable[[Pair], bool]:
    return lambda pair: (pair.run.model, pair.run.rank, max(pair.run.rates_rps)) == (model, rank, rate)


def choices(pairs: Sequence[Pair]) -> str:
    """In how many workloads the simulator chooses the max_loras that was best."""
    workloads: dict[tuple[str, int, float, int], list[Pair]] = {}
    for pair in pairs:
        workloads.setdefault(pair.run.workload, []).append(pair)
    several = [group for group in workloads.values() if len(group) > 1]
    if not several:
        return ""
    right = equal = 0
    losses = []
    for group in several:
        ours = best(group, lambda pair: pair.predicted)
        theirs = best(group, lambda pair: pair.run.measured)
        right += ours is theirs
        got, most = ours.run.measured, theirs.run.measured
        losses.append(1.0 - got.output_tokens_per_s / most.output_tokens_per_s)
        equal += losses[-1] < AS_GOOD and got.ttft_mean_s < 1.1 * most.ttft_mean_s
    return (
        f"Best max_loras: {right} of {len(several)} workloads with several settings exactly "
        f"({100 * right / len(several):.0f} %), {equal} ({100 * equal / len(several):.0f} %) exactly or with "
        f"a throughput within {100 * AS_GOOD:.0f} % and a mean TTFT within 10 % of the best one's; the "
        f"largest loss of throughput by a wrong choice is {100 * max(losses):.1f} %.\n"
    )


def best(group: Sequence[Pair], of: Callable[[Pair], Measured]) -> Pair:
    """The setting with the lowest mean TTFT among those within 2 % of the highest throughput."""
    most = max(of(pair).output_tokens_per_s for pair in group)
    near = [pair for pair in group if of(pair).output_tokens_per_s >= (1.0 - AS_GOOD) * most]
    return min(near, key=lambda pair: of(pair).ttft_mean_s)


def worst(pairs: Sequence[Pair], count: int = 8) -> str:
    """The runs that are furthest off, over all metrics shown."""
    off = sorted(pairs, key=lambda pair: -sum(pair.error(metric) for metric in SHOWN))[:count]
    rows = [
        (pair.run.key, *(_both(pair, metric, scale) for metric, (_, scale) in SHOWN.items())) for pair in off
    ]
    head = ("predicted / measured", *(name for name, _ in SHOWN.values()))
    return "The furthest off (model/rank/highest rate/adapters/max_loras):\n\n" + table(head, rows)


def _both(pair: Pair, metric: str, scale: float) -> str:
    ours, theirs = getattr(pair.predicted, metric), getattr(pair.run.measured, metric)
    return f"{scale * ours:.3g} / {scale * theirs:.3g}"


def sensitivity_table(runs: Sequence[Run], known: dict[str, Server], jobs: int) -> str:
    """Mean errors of a sample under every assumption about lengths, and with the lengths asked for."""
    rows = []
    for name, shape in SHAPES.items():
        rows.append((name, *_means(predict(runs, known, shape, jobs))))
    asked = [replace(run, answer_tokens=run.offered_answer_tokens) for run in runs]
    rows.append(("answers as long as asked for", *_means(predict(asked, known, Lengths(), jobs))))
    head = (f"lengths, {len(runs)} runs", *(name.split(",")[0] for name, _ in SHOWN.values()))
    return table(head, rows)


def _means(pairs: Sequence[Pair]) -> list[str]:
    return [f"{100 * float(np.mean([pair.error(metric) for pair in pairs])):.1f} %" for metric in SHOWN]


def write(pairs: Sequence[Pair], text: str) -> None:
    """The page's block, the pairs, the plot."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_text(RESULTS / "multilora_pairs.csv", pairs_csv(pairs))
    plot(pairs, RESULTS / "multilora.svg")
    replace_block(PAGE, "multilora", text)


def pairs_csv(pairs: Sequence[Pair]) -> str:
    """One row a run: what it was, predicted and measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{side}_{metric}" for metric in METRICS for side in ("predicted", "measured")]
    writer.writerow(["model", "rank", "rates_rps", "adapters", "max_loras", "sent", *columns])
    for pair in pairs:
        run = pair.run
        values = [getattr(side, metric) for metric in METRICS for side in (pair.predicted, run.measured)]
        rates = " ".join(f"{rate:g}" for rate in run.rates_rps)
        what = [run.model, run.rank, rates, run.adapters, run.max_loras, pair.sent]
        writer.writerow([*what, *(f"{value:.6g}" for value in values)])
    return out.getvalue()


def plot(pairs: Sequence[Pair], path: Path) -> None:
    """Predicted over measured, one panel a metric, logarithmic, with the line of equality."""
    import altair as alt

    panels: list[Any] = []
    for metric, (name, scale) in SHOWN.items():
        rows = [
            {
                "measured": scale * getattr(pair.run.measured, metric),
                "predicted": scale * getattr(pair.predicted, metric),
                "server": "starved" if pair.starved else "keeps up",
            }
            for pair in pairs
        ]
        ends = [min(row["measured"] for row in rows), max(row["measured"] for row in rows)]
        line = alt.Chart(_values([{"x": end, "y": end} for end in ends])).mark_line(color="gray")
        line = line.encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))
        dots = alt.Chart(_values(rows)).mark_point(size=18)
        log = alt.Scale(type="log")
        dots = dots.encode(
            x=alt.X("measured:Q", scale=log, title=f"measured {name}"),
            y=alt.Y("predicted:Q", scale=log, title=f"predicted {name}"),
            color=alt.Color("server:N", scale=alt.Scale(range=["#0072B2", "#D55E00"])),
            shape="server:N",
        )
        panels.append((line + dots).properties(width=230, height=230))
    alt.concat(*panels, columns=3).save(path)


def _values(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=rows)  # type: ignore[no-untyped-call]  # altair's schema classes are not typed


if __name__ == "__main__":
    main()
