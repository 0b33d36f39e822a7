"""All claims, one after the other, each saved as it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from advisor import __version__
from advisor.errors import InputError, validated
from advisor.files import read_json, write_text
from advisor.profile import Profile
from calibration.claims.bench import Bench
from calibration.claims.drafts import speculation
from calibration.claims.latency import cold_start, concurrency, prompts, same_load
from calibration.claims.many import deployed, merged, tenants
from calibration.claims.money import variants
from calibration.claims.result import ClaimResult, Claims
from calibration.livesetup import LiveSetup
from calibration.replay.rows import environment

Progress = Callable[[float, str], None]
CLAIMS: Final[dict[str, Callable[[Bench], ClaimResult]]] = {
    "C1": same_load,
    "C2": cold_start,
    "C3": prompts,
    "C4": concurrency,
    "C5": deployed,
    "C6": merged,
    "C7": speculation,
    "C8": tenants,
    "C9": variants,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which claims, where to."""

    out: Path
    only: tuple[str, ...] = tuple(CLAIMS)
    repeats: int = 3
    duration_s: float = 4.0
    seed: int = 0
    resume: bool = False


def chosen(text: str) -> tuple[str, ...]:
    """Claims by number, with ',' between (InputError if there is none of a number)."""
    if text == "all":
        return tuple(CLAIMS)
    names = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in CLAIMS]
    if unknown or not names:
        raise InputError(
            f"--only is {', '.join(unknown) or 'empty'}; allowed: all, or of {', '.join(CLAIMS)}."
        )
    return names


def try_claims(asked: Asked, setup: LiveSetup, profile: Profile, tell: Progress | None = None) -> Claims:
    """Run the experiments.

    Args:
        asked: which, and for how long.
        setup: the live engine with its adapters.
        profile: of `calibrate run` on this device, with the drafts' costs.
        tell: progress.
    """
    tell = tell or (lambda _share, _what: None)
    asked.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(setup, profile, repeats=asked.repeats, duration_s=asked.duration_s, seed=asked.seed)
    found = []
    for number, name in enumerate(asked.only):
        tell(number / len(asked.only), f"claim {name}")
        file = asked.out / f"{name}.json"
        if asked.resume and file.exists():
            found.append(validated(ClaimResult, read_json(file), str(file)))
            continue
        found.append(CLAIMS[name](bench))
        write_text(file, found[-1].model_dump_json(indent=1) + "\n")
    result = Claims(
        created=datetime.now(UTC).replace(microsecond=0),
        producer=f"lora-advisor {__version__}",
        device=profile.device.name,
        model=setup.model_dir.name,
        environment=environment(),
        claims=tuple(found),
    )
    write_text(asked.out / "claims.json", result.model_dump_json(indent=1) + "\n")
    return result
