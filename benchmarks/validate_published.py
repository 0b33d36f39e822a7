"""Imported tables against published closed loops: `python -m benchmarks.validate_published`.

Every published point of a dense model whose GPU, engine, weights and degree have a shipped profile is run
as a closed loop in the simulator. Reads the folder named by LORA_ADVISOR_DATA; writes a table into
docs/validation.md, every pair into benchmarks/results/published_pairs.csv and a plot beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import numpy as np

from advisor.errors import AdvisorError
from benchmarks._page import ROOT, replace_block, table
from benchmarks._pairs import percent, plot_pairs, relative, write_pairs
from benchmarks._published_runs import SPREAD, Variant, predict, shipped
from benchmarks.build_profiles import data_folder
from calibration.importers.published import Point, all_points, terms_of

PAGE = ROOT / "docs" / "validation.md"
TARGET = {"tpot_s": 0.10, "ttft_s": 0.15}

ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}
Row = dict[str, Any]


@click.command(help=__doc__)
def main() -> None:
    """Simulate, print, write."""
    try:
        points = all_points(data_folder() / "e2e")
        rows = compare(points, Variant())
        text = "\n\n".join((groups(rows), whole(rows), variants(points)))
        print(text)
        write_pairs("published_pairs", rows)
        counted = [row for row in rows if not row["left_out"]]
        plot_pairs("published", counted, {"tpot_s": "TPOT, s", "ttft_s": "TTFT, s"}, "group")
        replace_block(PAGE, "published", text)
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def compare(points: Iterable[Point], variant: Variant) -> list[Row]:
    """Predicted beside measured for each point that has a profile."""
    rows = []
    for point in points:
        profile = shipped(f"{point.system}-{point.engine}")
        terms = None if profile is None else terms_of(profile, point)
        if profile is None or terms is None:
            continue
        predicted = predict(profile, terms, point, variant)
        rows.append(
            {
                "group": f"{point.system}, {point.model} {point.precision}, {point.engine} {point.version}",
                "source": f"{'InferenceX' if point.is_inferencex else 'NVIDIA'}, {ENGINES[point.engine]}",
                "tensor_parallel": point.tensor_parallel,
                "concurrency": point.concurrency,
                "prompt_tokens": point.prompt_tokens,
                "output_tokens": point.output_tokens,
                "measured_tpot_s": point.tpot_s,
                "predicted_tpot_s": predicted[0],
                "measured_ttft_s": point.ttft_s,
                "predicted_ttft_s": predicted[1],
                "left_out": _left_out(point),
            }
        )
    return rows


def _left_out(point: Point) -> str:
    if point.model == "Llama-3.1-8B" and point.engine == "vllm":
        return "faster than the GPU's peak rate, so prompts were cached"
    if point.overloaded:
        return "overloaded: requests waited for memory"
    return ""


def groups(rows: Sequence[Row]) -> str:
    """Errors by GPU, model and engine."""
    lines = []
    for name in dict.fromkeys(row["group"] for row in rows):
        for reason in ("", *sorted({row["left_out"] for row in rows} - {""})):
            mine = [row for row in rows if row["group"] == name and row["left_out"] == reason]
            if mine:
                short = f" ({reason.split(':')[0].split(',')[0]})" if reason else ""
                degrees = ", ".join(str(d) for d in sorted({row["tensor_parallel"] for row in mine}))
                source = mine[0]["source"].partition(",")[0]
                lines.append((f"{source}: {name}{short}", degrees, str(len(mine)), *_cells(mine)))
    head = ("points", "degrees", "number", *_HEAD)
    return table(head, lines).strip()


def whole(rows: Sequence[Row]) -> str:
    """Errors over everything that counts, with the target."""
    counted = [row for row in rows if not row["left_out"]]
    lines = [
        (f"all that count, {len(counted)}", *_cells(counted)),
        *(
            (f"of {name}, {len(mine)}", *_cells(mine))
            for name in dict.fromkeys(row["source"] for row in counted)
            if (mine := [row for row in counted if row["source"] == name])
        ),
        ("target, median of the absolute", "", percent(TARGET["tpot_s"]), "", percent(TARGET["ttft_s"])),
    ]
    return table(("points", *_HEAD), lines).strip()


_HEAD = ("TPOT, median", "absolute", "TTFT, median", "absolute")


def _cells(rows: Sequence[Row]) -> tuple[str, ...]:
    cells = []
    for metric in TARGET:
        errors = relative(rows, metric)
        away = float(np.median(np.abs(errors)))
        text = percent(away)
        cells += [
            percent(float(np.median(errors)), sign=True),
            text if away <= TARGET[metric] else f"**{text}**",
        ]
    return tuple(cells)


def variants(points: Sequence[Point]) -> str:
    """What each assumption is worth, over what counts."""
    counted = [point for point in points if not _left_out(point)]
    x = [point for point in counted if point.is_inferencex]
    others = [point for point in counted if not point.is_inferencex and point.engine == "vllm"]
    cases: tuple[tuple[str, Callable[[], list[Row]]], ...] = (
        ("InferenceX, profiles as shipped: bfloat16 keys", lambda: compare(x, Variant(as_run=False))),
        ("InferenceX, no frontend", lambda: compare(x, Variant(frontend=False))),
        (
            "NVIDIA's vLLM, profiles as shipped: asynchronous loop",
            lambda: compare(others, Variant(as_run=False)),
        ),
        ("NVIDIA's vLLM, lengths spread as InferenceX does", lambda: compare(others, Variant(spread=SPREAD))),
        (
            "NVIDIA's vLLM, by algebra: nobody in step with anybody",
            lambda: compare(others, Variant(algebra=True)),
        ),
    )
    lines = []
    for name, run in cases:
        lines.append((name, *_cells(run())))
    return f"{table(('assumption changed', *_HEAD), lines).strip()}\n\n{_between(others)}"


def _between(points: Sequence[Point]) -> str:
    """How often the measured TTFT lies between those of clients in step and clients out of step."""
    equal, spread = compare(points, Variant()), compare(points, Variant(spread=SPREAD))
    inside = [
        min(a["predicted_ttft_s"], b["predicted_ttft_s"])
        <= a["measured_ttft_s"]
        <= max(a["predicted_ttft_s"], b["predicted_ttft_s"])
        for a, b in zip(equal, spread, strict=True)
    ]
    return (
        f"Of NVIDIA's {len(inside)} vLLM points {sum(inside)} have a TTFT between those of equal and of "
        "spread lengths."
    )


if __name__ == "__main__":
    main()
