"""The whole calibration of the live engine on this device. Read `calibrate_engine` first."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch

from advisor import __version__
from advisor.profile import FrontendTerm, HostTerm, LoadTerm, MemoryTerm, Profile, StartupTerm
from advisor.spec.spec import Origin
from calibration.engine.config import read_architecture
from calibration.engine.engine import Engine
from calibration.engine.graphs import graph_sizes
from calibration.microbench.adapters import load_files, ranks_of, slot_files
from calibration.microbench.bench import Bench
from calibration.microbench.device import device_row
from calibration.microbench.drafts import draft_term, label, measure_drafts
from calibration.microbench.loads import measure_loads, measure_merges
from calibration.microbench.operations import HOST_COPY, SAMPLE, points
from calibration.microbench.samples import Samples
from calibration.microbench.steps import HELD_OUT, MIXTURE, Design, designs, run_design, run_mixture
from calibration.microbench.terms import (
    Mark,
    balance,
    load_terms,
    micro_terms,
    residual,
    residual_absolute,
    spans,
)
from calibration.microbench.wish import Wish, fingerprint

__all__ = ["Wish", "calibrate_engine", "ceiling", "fingerprint", "no_loads", "software"]

Progress = Callable[[float, str], None]
_MICRO, _STEPS = 0.45, 0.40
"""Shares of the budget: microbenchmarks, engine steps; the rest is loads, merges, drafts and the mixture."""
_LEAST_ROUNDS = 3
_LEAST_DESIGNS = 12
_MOST_PASSES = 50
_MIXTURE_EVERY = 4
_MIXTURE_REQUESTS = 12


def calibrate_engine(
    wish: Wish,
    samples_path: Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Profile:
    """Measure everything that predicts the live engine's steps, and put it into a profile.

    Args:
        wish: the engine as it will serve, and how long to measure.
        samples_path: where raw samples go, line by line; None: nowhere.
        resume: go on with the samples that are there: only what is missing is measured, within what is left
            of the budget.
        force: overwrite samples that are there.
        progress: told the share done and what is being done.

    Raises:
        InputError: the engine cannot be what the wish says; samples that exist, are damaged or of something
            else.
    """
    tell = progress or (lambda _share, _what: None)
    samples = Samples(samples_path, fingerprint(wish), resume=resume, force=force)
    began, before_s = perf_counter(), float(samples.facts.get("spent_s", 0.0))
    shape = read_architecture(wish.model_dir).shape
    try:
        with TemporaryDirectory(prefix="calibrate-") as scratch:
            _measure(wish, samples, Path(scratch), tell)
    finally:
        samples.set_fact("spent_s", before_s + perf_counter() - began)
    tell(0.97, "fitting")
    profile = _profile(wish, samples, Mark(_source(wish), shape))
    if samples.facts["graphs"] == "off":
        return profile
    return profile.model_copy(update={"graph_sizes": graph_sizes(wish.limits.max_num_seqs)})


def _measure(wish: Wish, samples: Samples, scratch: Path, tell: Progress) -> None:
    """All parts in order; a part that is done is not measured again."""
    options = wish.options
    bench = Bench.of(wish.model_dir, options.device, options.dtype, wish.limits, options.kv_blocks)
    shape = bench.shape
    dtype = str(bench.model.weights.embedding.dtype).removeprefix("torch.")
    _micro(bench, wish, samples, tell)
    del bench
    names = slot_files(wish, shape, scratch, dtype)
    _steps(wish, names, samples, tell)
    tell(0.88, "adapter loads and merges")
    if wish.limits.max_loras:
        files = load_files(wish, shape, scratch, dtype)
        measure_loads(wish.model_dir, files, options, samples, rounds=4)
        if "merges" not in samples.facts:
            engine = Engine(wish.model_dir, wish.limits, {}, options)
            measure_merges(engine, files[-1].folder, files[-1].rank, samples, rounds=3)
            engine.close()
            samples.set_fact("merges", "done")
    for draft in wish.drafts:
        tell(0.94, f"drafts: {label(draft)}")
        if f"drafts {label(draft)}" not in samples.facts:
            measure_drafts(wish.model_dir, wish.limits, replace(options, draft=draft), samples, wish.seed)
            samples.set_fact(f"drafts {label(draft)}", "done")


def _micro(bench: Bench, wish: Wish, samples: Samples, tell: Progress) -> None:
    """Rounds over all points in random order until the budget is spent: a noisy minute hits all alike."""
    todo = points(bench, wish.ranks or ranks_of(wish.model_dir, wish.limits, wish.adapters))
    before_s = float(samples.facts.get("micro_s", 0.0))
    began, rounds = perf_counter() - before_s, 0
    end = began + _MICRO * wish.budget_s
    least_s = 0.002 if bench.runner.device.type == "cuda" else 0.0005
    order = np.random.default_rng(wish.seed)
    while rounds < _LEAST_ROUNDS or perf_counter() < end:
        for index in order.permutation(len(todo)):
            point = todo[index]
            if samples.count(point.operation, point.parameters) > rounds:
                continue
            work = point.prepare()
            inner = bench.timer.inner(work, least_s)
            samples.add(point.operation, point.parameters, bench.timer.seconds(work, inner))
            share = (perf_counter() - began) / max(_MICRO * wish.budget_s, 1e-9)
            tell(0.02 + _MICRO * min(share, 1.0), f"microbenchmarks: {point.operation}, round {rounds + 1}")
            if rounds >= _LEAST_ROUNDS and perf_counter() > end:
                break
        rounds += 1
        samples.set_fact("micro_s", perf_counter() - began)


def _steps(wish: Wish, names: dict[str, Path], samples: Samples, tell: Progress) -> None:
    """Designed steps of a real engine, then the mixture; its start in seconds and its graphs are facts."""
    if samples.facts.get("steps") == "done":
        return
    began = perf_counter()
    options = replace(wish.options, draft=None)
    limits = wish.limits.model_copy(update={"prefix_caching": False, "max_cpu_loras": wish.limits.max_loras})
    engine = Engine(wish.model_dir, limits, names, options)
    samples.set_fact("startup_s", perf_counter() - began)
    samples.set_fact("graphs", engine.graphs)
    adapters = tuple(names)
    todo = designs(engine, adapters, _longest(engine), wish.seed)
    if todo:
        run_design(engine, todo[0], adapters, wish.seed)  # warm up, adapters too
    for index in range(len(adapters)):
        engine.add_request([1, 2, 3], adapter=adapters[index], max_tokens=1, ignore_eos=True)
    while engine.busy:
        engine.step()
    _passes(wish, engine, todo, samples, tell)
    engine.close()
    samples.set_fact("steps", "done")


def _passes(wish: Wish, engine: Engine, todo: list[Design], samples: Samples, tell: Progress) -> None:
    """Pass after pass over all designs, pieces of the mixture between them, until the budget is spent.

    A machine is faster in one second than in the next: what is compared must be spread alike over time.
    Every other piece is for the fit: designs alone miss what unlike sequences in one batch cost.
    """
    adapters, longest = engine.adapters, _longest(engine)
    before_s = float(samples.facts.get("steps_s", 0.0))
    began, done, pieces = perf_counter() - before_s, 0, 0
    allowed_s = _STEPS * wish.budget_s
    for turn in range(_MOST_PASSES):
        for design in todo:
            spent_s = perf_counter() - began
            if spent_s > allowed_s and done >= _LEAST_DESIGNS and pieces > 1:
                return
            name = f"{design.name}#{turn}"
            if not samples.has_run(name):
                samples.add_steps(name, run_design(engine, design, adapters, wish.seed + turn))
            if done % _MIXTURE_EVERY == _MIXTURE_EVERY - 1:
                piece = f"{HELD_OUT if pieces % 2 else MIXTURE}#{pieces}"
                if not samples.has_run(piece):
                    found = run_mixture(engine, adapters, longest, _MIXTURE_REQUESTS, wish.seed + pieces)
                    samples.add_steps(piece, found)
                pieces += 1
            done += 1
            samples.set_fact("steps_s", perf_counter() - began)
            share = min(1.0, spent_s / max(allowed_s, 1e-9))
            tell(0.02 + _MICRO + _STEPS * share, f"engine steps: {name}")


def _longest(engine: Engine) -> int:
    return max(16, min(engine.architecture.max_positions // 2, 1024))


def _profile(wish: Wish, samples: Samples, mark: Mark) -> Profile:
    micro = micro_terms(samples, mark)
    own: dict[str, Any] = {"origin": Origin.MEASURED, "source": mark.source}
    loads = load_terms(samples, mark) if samples.of("slot") else no_loads(mark)
    bandwidth, rate = ceiling(samples, "copy", "bytes"), ceiling(samples, "gemm", "flops")
    rough = Profile(
        schema_version=1,
        name=f"{wish.model_dir.name}-builtin",
        method="microbench",
        created=datetime.now(UTC).replace(microsecond=0),
        producer=f"lora-advisor {__version__}",
        command=wish.command,
        device=device_row(wish.options.device, (bandwidth, rate)),
        engine="builtin",
        engine_version=__version__,
        models=(micro,),
        host=HostTerm(**own, fixed_s=0.0),
        frontend=FrontendTerm(**own),
        loads=loads,
        memory=MemoryTerm(**own, overhead_bytes=0.0),
        startup=StartupTerm(**own, base_s=float(samples.facts["startup_s"])),
        software=software(),
    )
    limits = wish.limits
    balanced = balance(rough, limits, samples, mark.source)
    done = rough.model_copy(update={"models": (balanced.terms,), "host": balanced.host})
    drafts = tuple(draft_term(draft, samples, mark, done, limits) for draft in wish.drafts)
    terms = balanced.terms.model_copy(update={"drafts": drafts})
    done = done.model_copy(update={"models": (terms,)})
    left = residual(done, limits, samples, "a mixture of requests on the live engine, in no fit")
    absolute = residual_absolute(done, limits, samples)
    said = ", ".join(f"{name} {scale:.3g}" for name, scale in balanced.scales.items())
    notes = (
        f"Microbenchmark times multiplied to match engine steps: {said}.",
        f"Their 90 % intervals by bootstrap: {spans(balanced.fit, ('dense', 'attention', 'lora'))}.",
        f"Host seconds: {spans(balanced.fit, ('host_fixed', 'host_sequence', 'host_token'))}.",
        *([] if absolute is None else [f"Held-out steps: median absolute error {absolute:.1%}."]),
        f"Measured ceilings: copies {bandwidth / 1e9:.3g} GB/s, matrix products {rate / 1e9:.4g} GFLOP/s.",
        f"{torch.get_num_threads()} threads; the measurement took {samples.facts['spent_s']:.0f} s.",
        *_merge_note(samples),
        *_beside_notes(samples),
    )
    return done.model_copy(update={"residual": left, "notes": notes})


def no_loads(mark: Mark) -> tuple[LoadTerm, ...]:
    """Loads of an engine without adapters: nothing to load."""
    source = f"{mark.source}; no adapters, nothing loaded"
    hops: tuple[Literal["disk_to_cpu", "cpu_to_slot"], ...] = ("disk_to_cpu", "cpu_to_slot")
    return tuple(
        LoadTerm(hop=hop, origin=Origin.ESTIMATED, source=source, fixed_s=0.0, bandwidth_bytes_per_s=1e12)
        for hop in hops
    )


def ceiling(samples: Samples, operation: str, amount: str) -> float:
    """Largest rate seen: (bytes or flops) a second."""
    return max(parameters[amount] / min(values) for parameters, values in samples.of(operation))


def _merge_note(samples: Samples) -> Sequence[str]:
    found = [(kind, samples.of(kind)) for kind in ("merge", "unmerge")]
    said = [f"{kind} {np.median(points[0][1]):.3g} s" for kind, points in found if points]
    return (f"Rank {found[0][1][0][0]['rank']:.0f} adapter: {', '.join(said)}.",) if said else ()


def _beside_notes(samples: Samples) -> Sequence[str]:
    """What no term holds: sampling by temperature, and copies from host memory."""
    notes = []
    for top_p, way in ((1.0, "temperature"), (0.9, "temperature and top-p")):
        found = [(p["rows"], np.median(values)) for p, values in samples.of(SAMPLE) if p["top_p"] == top_p]
        if found:
            (few, first), (most, last) = min(found), max(found)
            said = f"{1e3 * first:.3g} ms for {few:.0f} row, {1e3 * last:.3g} ms for {most:.0f}"
            notes.append(f"Sampling by {way}, in no term (the head takes the likeliest): {said}.")
    for parameters, values in samples.of(HOST_COPY):
        kind = "pinned" if parameters["pinned"] else "pageable"
        rate = parameters["bytes"] / np.median(values)
        notes.append(f"Copies to the device from {kind} host memory: {rate / 1e9:.3g} GB/s.")
    return notes


def software() -> dict[str, str]:
    """Versions that bear on time."""
    found = {"python": platform.python_version(), "lora-advisor": __version__}
    for package in ("torch", "triton", "numpy", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _source(wish: Wish) -> str:
    return f"calibrate run on {device_row(wish.options.device, None).name}, builtin engine {__version__}"
