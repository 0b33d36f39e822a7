"""A profile from measured runs at several loads: what means of TTFT and TPOT can tell, and no more.

    gap   = a + b·B + c·B·x + p·(r·gap)·P            one gap between tokens, mean
    first = w + a + p·P                              runs of one request at a time

B sequences decode at once (r·(O - 1)·gap by Little's law, r requests/s of P prompt and O answer tokens), x is
their mean context P + O/2; r·gap prompts start in a gap, each taking p seconds a token beyond the step that
it is in. a holds all that a step takes whatever is in it: weights, output matrix, host. Source: design.md
section 3, in means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from advisor import __version__
from advisor.errors import MeasurementError
from advisor.profile import (
    Curve,
    DecodeAttention,
    MemoryTerm,
    ModelTerms,
    PrefillAttention,
    Profile,
    Residual,
    StartupTerm,
)
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from calibration.endpoint.loads import load_terms
from calibration.endpoint.steps import CONTEXT, SEQUENCE, WAY
from calibration.endpoint.terms import Found, frontend_of, host_of
from calibration.fit import Fit, fit_non_negative
from calibration.results.measured import MeasuredRun

Floats = NDArray[np.float64]
STEP, PROMPT = "step", "prompt token"
_ALONE: Final = 1.25
"""Requests in the server, on average, up to which nobody waits for another."""
_ALIKE: Final = 1.2
"""Contexts that differ by less do not tell a sequence from its context."""
_UNSURE: Final = (0.05, 20.0)
_LONGEST: Final = 65536.0
_RESAMPLES: Final = 200


@dataclass(frozen=True, slots=True)
class Place:
    """What the files do not tell: where it was measured."""

    shape: ModelShape
    device: Device
    engine: str
    engine_version: str
    tensor_parallel: int
    command: str


@dataclass(frozen=True, slots=True)
class Point:
    """One run as the equations see it: seconds, and what stands before each coefficient."""

    seconds: float
    row: dict[str, float]
    run: str


def points_of(runs: Sequence[MeasuredRun]) -> list[Point]:
    """A gap of each run that tells TPOT, or ITL; a first token of each run with one request at a time."""
    found = []
    for run in runs:
        gap_s = _first(run.tpot.mean_s, run.itl.mean_s, run.tpot.p50_s)
        if gap_s and run.output_tokens > 1:
            found.append(Point(gap_s, _gap(run, gap_s), run.name))
        ttft_s, at_once = run.ttft.typical_s, run.at_once
        if ttft_s and (run.max_concurrency == 1 or (at_once is not None and at_once <= _ALONE)):
            found.append(Point(ttft_s, {WAY: 1.0, STEP: 1.0, PROMPT: run.prompt_tokens}, run.name))
    return found


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value), None)


def _gap(run: MeasuredRun, gap_s: float) -> dict[str, float]:
    rate = run.throughput_rps
    decoding = max(1.0, rate * (run.output_tokens - 1.0) * gap_s)
    context = run.prompt_tokens + run.output_tokens / 2
    prompts = rate * gap_s if decoding > 1.0 else 0.0  # alone, its own prompt is before its first token
    return {
        STEP: 1.0,
        SEQUENCE: decoding,
        CONTEXT: decoding * context,
        PROMPT: prompts * run.prompt_tokens,
    }


def fit_runs(runs: Sequence[MeasuredRun], seed: int = 0) -> tuple[Fit, list[Point], tuple[str, ...]]:
    """Fit what can be told apart; the last part says in sentences what cannot.

    Raises:
        MeasurementError: too few runs, or all at one load.
    """
    points = points_of(runs)
    batches = [point.row[SEQUENCE] for point in points if SEQUENCE in point.row]
    loads = len(set(np.round(batches, 1)))
    if loads < 2:
        raise MeasurementError(
            f"{len(runs)} runs hold {loads} numbers of requests at once that tell TPOT; allowed: at least "
            "two, better five. Measure with --max-concurrency 1, 4, 16, ..."
        )
    notes, left_out = [], set()
    contexts = [point.row[CONTEXT] / point.row[SEQUENCE] for point in points if SEQUENCE in point.row]
    if max(contexts) < _ALIKE * min(contexts):
        left_out.add(CONTEXT)
        notes.append("All runs have about one context: its cost is within that of a sequence.")
    if not any(WAY in point.row for point in points):
        left_out.add(WAY)
        notes.append("No run has one request at a time: the way of a request is not in these runs (0).")
    names = [name for name in (STEP, SEQUENCE, CONTEXT, PROMPT, WAY) if name not in left_out]
    columns = {name: np.array([point.row.get(name, 0.0) for point in points]) for name in names}
    columns = {name: column for name, column in columns.items() if column.any()}
    if len(points) < len(columns):
        raise MeasurementError(
            f"{len(points)} figures for {len(columns)} terms ({', '.join(columns)}); allowed: at least one a "
            "term. Add runs at other loads and lengths."
        )
    seconds = np.array([point.seconds for point in points])
    return fit_non_negative(columns, seconds, resamples=_RESAMPLES, seed=seed), points, tuple(notes)


def profile_of(runs: Sequence[MeasuredRun], place: Place, seed: int = 0) -> Profile:
    """Fit, and put it into the profile contract; what the runs do not tell is an estimate and says so.

    Raises:
        MeasurementError: as `fit_runs`.
    """
    fit, points, notes = fit_runs(runs, seed)
    found = Found(fit, (), 0, len(points))
    tools = sorted({run.tool for run in runs})
    source = f"{len(runs)} runs of {', '.join(tools)}"
    residuals = np.asarray(fit.relative_residuals)
    unseen: dict[str, Any] = {"origin": Origin.ESTIMATED, "interval": _UNSURE}
    return Profile(
        schema_version=1,
        name=f"{place.device.name}-{place.engine}-runs",
        method="endpoint",
        created=datetime.now(UTC).replace(microsecond=0),
        producer=f"lora-advisor {__version__}",
        command=place.command,
        device=place.device,
        engine=place.engine,
        engine_version=place.engine_version or "not told",
        models=(_terms(found, place, source),),
        host=host_of(found, source),
        frontend=frontend_of(found, source),
        loads=load_terms([], source),
        memory=MemoryTerm(**unseen, source=f"{source}; memory is not in them", overhead_bytes=0.0),
        startup=StartupTerm(**unseen, source=f"{source}; start-up is not in them", base_s=0.0),
        residual=Residual(
            points=len(points),
            median_relative=float(np.median(residuals)),
            p90_absolute_relative=float(np.quantile(np.abs(residuals), 0.9)),
            source="the figures that it was fitted to",
        ),
        notes=(*notes, *found.loose(), "No LoRA term: these runs do not tell what adapters cost."),
        software={"lora-advisor": __version__},
    )


def _terms(found: Found, place: Place, source: str) -> ModelTerms:
    step, prompt, context = (found.value(name) for name in (STEP, PROMPT, CONTEXT))
    within: dict[str, Any] = {"origin": Origin.ESTIMATED, "source": f"{source}; within dense"}
    return ModelTerms(
        model=place.shape,
        tensor_parallel=place.tensor_parallel,
        dense=Curve(
            **found.mark(
                [STEP], f"{source}; with head, host and sampling of a step, and attention of prompts"
            ),
            x=(1.0, _LONGEST),
            y_s=(step, step + prompt * (_LONGEST - 1.0)),
        ),
        head=Curve(**within, x=(1.0,), y_s=(0.0,)),
        attn_prefill=PrefillAttention(
            **within,
            new_tokens=(1.0, _LONGEST),
            context_tokens=(0.0, _LONGEST),
            seconds=((0.0, 0.0), (0.0, 0.0)),
        ),
        attn_decode=DecodeAttention(
            **found.mark([CONTEXT], source),
            sequences=(1.0, 1024.0),
            fixed_s=(0.0, 0.0),
            per_context_token_s=(context, context),
        ),
    )
