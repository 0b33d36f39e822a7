"""All claims, one after the other, each saved as it is done. Read `try_claims`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from advisor import __version__
from advisor.errors import InputError, validated
from advisor.files import read_json, write_text
from advisor.profile import Profile
from advisor.spec.spec import Spec
from calibration.claims.bench import Bench
from calibration.claims.drafts import missing, speculation
from calibration.claims.latency import concurrency, same_load
from calibration.claims.loads import cold_start, deployed
from calibration.claims.merged import merged
from calibration.claims.money import variants
from calibration.claims.prompts import prompts
from calibration.claims.result import ClaimResult, Outcome
from calibration.claims.tenants import tenants
from calibration.livesetup import LiveSetup
from calibration.replay.rows import environment

Progress = Callable[[float, str], None]


class Claim(NamedTuple):
    """What is said, and the experiment."""

    statement: str
    experiment: Callable[[Bench], Outcome]


CLAIMS: Final[dict[str, Claim]] = {
    "C1": Claim("An unmerged LoRA is slower than its base", same_load),
    "C2": Claim(
        "The first request of a cold adapter pays a load, tens of ms on a GPU; repeats amortise it",
        cold_start,
    ),
    "C3": Claim("Prompt processing takes 10-30 % longer unmerged", prompts),
    "C4": Claim(
        "The decode overhead grows with concurrency; small at a few requests per second; maximum throughput "
        "is lower",
        concurrency,
    ),
    "C5": Claim("Performance hardly depends on how many adapters are deployed", deployed),
    "C6": Claim("Merged equals base in latency, and needs less memory", merged),
    "C7": Claim(
        "Speculative decoding can make a fine-tuned model faster than its plain base; a draft that does not "
        "know the fine-tune loses acceptance, a custom one regains it",
        speculation,
    ),
    "C8": Claim("Shared serverless is slower than dedicated under load", tenants),
    "C9": Claim(
        "Multi-LoRA is efficient for many variants, merging is limited to one model a deployment", variants
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which claims, where to, how long."""

    out: Path
    only: tuple[str, ...] = tuple(CLAIMS)
    repeats: int = 3
    duration_s: float = 1.5  # of a replay, where an experiment has six different ones
    seed: int = 0
    resume: bool = False  # keep results that the folder has, of the same wish
    price_per_hour: float = 1.0  # USD, of one replica


class Claims(Spec):
    """All that were tried, and why the others were not."""

    schema_version: Literal[1] = 1
    created: AwareDatetime
    producer: str
    device: str
    model: str
    environment: dict[str, str]
    claims: tuple[ClaimResult, ...]
    left_out: dict[str, str] = Field(default_factory=dict, description="Claim -> why it was not tried.")


def chosen(text: str) -> tuple[str, ...]:
    """Claims by number, with ',' between, or all (InputError if there is none of a number)."""
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
    """Run the experiments; each result is a file of the folder as soon as it is known.

    Args:
        asked: which, and for how long.
        setup: the live engine with its adapters, named a0, a1, ... or otherwise; all of one rank.
        profile: of `calibrate run` on this device, with the cost of a draft model for C7.
        tell: told the share done and what is being done.

    Raises:
        InputError: a result file in the folder that cannot be read, a profile without a needed term.
        MeasurementError: a request was not answered.
    """
    tell = tell or (lambda _share, _what: None)
    asked.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        setup, profile, asked.duration_s, asked.repeats, asked.seed, price_per_hour=asked.price_per_hour
    )
    left_out = _left_out(asked, bench)
    found = []
    try:
        for number, name in enumerate(asked.only):
            if name not in left_out:
                tell(number / len(asked.only), f"claim {name}")
                found.append(_one(asked, bench, name))
    finally:
        bench.engines.close()
    result = Claims(
        created=_now(),
        producer=f"lora-advisor {__version__}",
        device=profile.device.name,
        model=setup.model_dir.name,
        environment=environment(),
        claims=tuple(found),
        left_out=left_out,
    )
    write_text(asked.out / "claims.json", result.model_dump_json(indent=1) + "\n")
    return result


def load_results(folder: Path) -> dict[str, ClaimResult]:
    """The results that a folder has, in the claims' order.

    Raises:
        InputError: a file that is no result.
    """
    files = {name: folder / f"{name}.json" for name in CLAIMS}
    return {
        name: validated(ClaimResult, read_json(file), str(file))
        for name, file in files.items()
        if file.exists()
    }


def _one(asked: Asked, bench: Bench, name: str) -> ClaimResult:
    file = asked.out / f"{name}.json"
    made_from = _made_from(asked, bench)
    if asked.resume and file.exists():
        kept = validated(ClaimResult, read_json(file), str(file))
        if kept.made_from == made_from:
            return kept
    claim = CLAIMS[name]
    result = ClaimResult(
        claim=name,
        statement=claim.statement,
        outcome=claim.experiment(bench),
        created=_now(),
        producer=f"lora-advisor {__version__}",
        made_from=made_from,
    )
    write_text(file, result.model_dump_json(indent=1) + "\n")
    return result


def _made_from(asked: Asked, bench: Bench) -> dict[str, str]:
    """What results must have in common to be kept."""
    profile = bench.profile
    return environment() | {
        "model": profile.models[0].model.name,
        "device": profile.device.name,
        "profile": f"{profile.name}, {profile.created.isoformat()}",
        "limits": bench.setup.limits.model_dump_json(),
        "repeats": str(asked.repeats),
        "duration_s": f"{asked.duration_s:g}",
        "seed": str(asked.seed),
        "price_per_hour": f"{asked.price_per_hour:g}",
    }


def _left_out(asked: Asked, bench: Bench) -> dict[str, str]:
    """C7 needs weights that were trained."""
    from calibration import tinymodels

    if "C7" not in asked.only:
        return {}
    why = missing()
    if not why and bench.setup.model_dir.resolve() != tinymodels.model_dir().resolve():
        why = "what a made-up model says no draft foresees; --model tiny was trained."
    return {"C7": why} if why else {}


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
