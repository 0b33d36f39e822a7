"""Does a profile still hold? A few points of every operation, loads and steps, measured again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from advisor.profile import Profile
from calibration.engine.config import read_architecture
from calibration.engine.engine import Engine
from calibration.livesetup import LiveSetup
from calibration.microbench.adapters import load_files
from calibration.microbench.bench import Bench
from calibration.microbench.loads import measure_loads
from calibration.microbench.operations import points
from calibration.microbench.samples import Samples
from calibration.microbench.show import limits_of, read_samples
from calibration.microbench.steps import Design, run_design
from calibration.microbench.wish import Wish, check_place, place

_POINTS = 6
_REPEATS = 7
_RUNS = 8
_OPERATIONS = (
    *("copy", "gemm", "host_copy", "dense", "head", "sample"),
    *("decode_attention", "prefill_attention", "lora"),
)
Pairs = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drift:
    """One operation: the median of now over then, and how far it may be from 1."""

    operation: str
    points: int
    ratio: float
    allowed: float


def drift(profile: Profile, path: Path, setup: LiveSetup, tolerance: float = 0.15) -> Sequence[Drift]:
    """Measure a spread of points of each operation again, loads, and designed steps.

    Args:
        profile: from `calibrate run`.
        path: its file; the raw samples lie beside it, and stay as they are.
        setup: model, device, dtype and threads of now; limits are those of the samples.
        tolerance: always allowed; where the profile's interval is wider, that.

    Raises:
        InputError: no samples, or samples of another model, device, dtype, threads or machine.
    """
    samples = read_samples(profile, path)
    check_place(samples.fingerprint, place(setup.model_dir, setup.options), f"{path}")
    found = []
    for operation, pairs in (*_kernels(samples, setup), *_loads(samples, setup), *_steps(samples, setup)):
        ratio = float(np.median([now / then for now, then in pairs]))
        allowed = max(tolerance, _half_width(profile, operation))
        found.append(Drift(operation, len(pairs), ratio, allowed))
    return found


def _half_width(profile: Profile, operation: str) -> float:
    """Of the profile's interval around this operation's term; 0 where it has none."""
    terms = profile.models[0]
    term: Any = {
        "dense": terms.dense, "head": terms.head, "decode_attention": terms.attn_decode,
        "prefill_attention": terms.attn_prefill, "lora": terms.lora, "steps": profile.host,
        "disk_warm": profile.load("disk_to_cpu"), "slot": profile.load("cpu_to_slot"),
    }.get(operation)  # fmt: skip
    interval = getattr(term, "interval", None)
    return 0.0 if interval is None else max(1.0 - interval[0], interval[1] - 1.0)


def _kernels(samples: Samples, setup: LiveSetup) -> Iterator[tuple[str, Pairs]]:
    limits = limits_of(samples)
    options = setup.options
    bench = Bench.of(
        setup.model_dir, options.device, options.dtype, limits, int(samples.fingerprint["kv_blocks"])
    )
    ranks = tuple(sorted({int(p["rank"]) for p, _ in samples.of("lora")}))
    known = {(p.operation, tuple(sorted(p.parameters.items()))): p for p in points(bench, ranks)}
    for operation in _OPERATIONS:
        keyed = [((operation, tuple(sorted(p.items()))), values) for p, values in samples.of(operation)]
        usable = [(known[key], values) for key, values in keyed if key in known]
        pairs = []
        for point, values in usable[:: max(1, len(usable) // _POINTS)]:
            work = point.prepare()
            inner = bench.timer.inner(work, 0.0005)
            now = np.median([bench.timer.seconds(work, inner) for _ in range(_REPEATS)])
            pairs.append((float(now), float(np.median(values))))
        if pairs:
            yield operation, pairs


def _loads(samples: Samples, setup: LiveSetup) -> Iterator[tuple[str, Pairs]]:
    """Of the largest rank, from the page cache and from host memory."""
    limits = limits_of(samples)
    if not limits.max_loras or not samples.of("slot"):
        return
    again = Samples(None, {})
    wish = Wish(setup.model_dir, limits, setup.options, adapters=setup.adapters)
    dtype = str(samples.fingerprint["dtype"])
    shape = read_architecture(setup.model_dir).shape
    with TemporaryDirectory(prefix="calibrate-") as scratch:
        files = load_files(wish, shape, Path(scratch), dtype)
        largest = [file for file in files if file.rank == files[-1].rank]
        measure_loads(setup.model_dir, largest, setup.options, again, rounds=2)
    for operation in ("disk_warm", "slot"):
        then = {tuple(sorted(p.items())): values for p, values in samples.of(operation)}
        keyed = [(tuple(sorted(p.items())), values) for p, values in again.of(operation)]
        pairs = [(float(np.median(now)), float(np.median(then[key]))) for key, now in keyed if key in then]
        if pairs:
            yield operation, pairs


def _steps(samples: Samples, setup: LiveSetup) -> Iterator[tuple[str, Pairs]]:
    """Designed runs without adapters, with the very prompts of then."""
    runs: dict[str, list[float]] = {}
    for step in samples.steps:
        if "/A0#" in step["run"] and not step["gamma"]:
            runs.setdefault(step["run"], []).append(step["s"])
    limits = limits_of(samples).model_copy(update={"prefix_caching": False})
    seed, pairs = int(samples.fingerprint["seed"]), []
    names = sorted(runs)[:: max(1, len(runs) // _RUNS)]
    if not names:
        return
    engine = Engine(setup.model_dir, limits, {}, setup.options)
    for turn, name in enumerate([names[0], *names]):
        described, repeat = name.split("#")
        sequences, prompt, adapters = (int(part[1:]) for part in described.split("/"))
        again = run_design(engine, Design(sequences, prompt, adapters), (), seed + int(repeat))
        if turn:  # the first warms up
            now = float(np.median([step["s"] for step in again]))
            pairs.append((now, float(np.median(runs[name]))))
    engine.close()
    yield "steps", pairs
