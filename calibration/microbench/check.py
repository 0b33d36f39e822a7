"""Does a profile still hold? A few points of every operation, measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.profile import Profile
from calibration.livesetup import LiveSetup
from calibration.microbench.bench import Bench
from calibration.microbench.operations import points
from calibration.microbench.show import limits_of, read_samples

_POINTS = 6
_REPEATS = 7


@dataclass(frozen=True, slots=True)
class Drift:
    """One operation: the median of now over then."""

    operation: str
    points: int
    ratio: float


def drift(profile: Profile, path: Path, setup: LiveSetup) -> Sequence[Drift]:
    """Measure a spread of points of each operation again.

    Args:
        profile: from `calibrate run`.
        path: its file; the raw samples lie beside it.
        setup: model, device and dtype of now; limits are those of the samples.

    Raises:
        InputError: no samples.
    """
    samples = read_samples(profile, path)
    limits = limits_of(samples)
    blocks = int(samples.fingerprint["kv_blocks"])
    options = setup.options
    bench = Bench.of(setup.model_dir, options.device, options.dtype, limits, blocks)
    known = {
        (p.operation, tuple(sorted(p.parameters.items()))): p for p in points(bench, (limits.max_lora_rank,))
    }
    found = []
    for operation in ("copy", "gemm", "dense", "head", "decode_attention", "prefill_attention", "lora"):
        keyed = [((operation, tuple(sorted(p.items()))), values) for p, values in samples.of(operation)]
        usable = [(known[key], values) for key, values in keyed if key in known]
        if not usable:
            continue
        chosen = usable[:: max(1, len(usable) // _POINTS)]
        ratios = []
        for point, values in chosen:
            work = point.prepare()
            inner = bench.timer.inner(work, 0.0005)
            now = np.median([bench.timer.seconds(work, inner) for _ in range(_REPEATS)])
            ratios.append(float(now / np.median(values)))
        found.append(Drift(operation, len(chosen), float(np.median(ratios))))
    return found
