"""What the claims are tried on: a model, its adapters, and a profile of the engine that serves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from advisor.errors import InputError
from advisor.profile import Profile, load_profile, save_profile
from advisor.spec.engine import EngineLimits
from calibration import tinymodels
from calibration.claims.drafts import GAMMA, missing
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import ModelDraft
from calibration.livesetup import LiveSetup
from calibration.microbench.run import Wish, calibrate_engine
from calibration.modelfiles import TINY, model_folder
from calibration.smallmodel import made_up_adapters, small_model

ADAPTERS: Final = 64
_RANK: Final = 16
_LIMITS: Final = EngineLimits(
    max_num_seqs=16,
    max_num_batched_tokens=256,
    max_loras=8,
    max_cpu_loras=ADAPTERS,
    max_lora_rank=_RANK,
    prefix_caching=False,
)
_KV_BLOCKS: Final = 1024


def live_setup(model: str, adapters: int = ADAPTERS) -> LiveSetup:
    """The engine that serves everything unmerged: 8 slots of rank 16, made-up adapters.

    In float32: on a CPU, kernels of narrower types are compiled for each new shape, in the middle of a run.

    Args:
        model: tiny, small, or a model folder.
        adapters: how many.

    Raises:
        InputError: no such model.
    """
    folder = small_model() if model == "small" else model_folder(model)
    return LiveSetup(
        folder,
        _LIMITS,
        EngineOptions(kv_blocks=_KV_BLOCKS, dtype="float32"),
        made_up_adapters(folder, adapters, _RANK),
    )


def profile_of(
    setup: LiveSetup,
    given: Path | None,
    out: Path,
    *,
    budget_s: float,
    resume: bool,
    seed: int = 0,
    tell: Callable[[float, str], None] | None = None,
) -> Profile:
    """The profile given, the one that the folder has (resume), or a new one in the folder.

    Raises:
        InputError: a profile of another engine, or of another model.
    """
    kept = out / "profile.json"
    if given is not None or (resume and kept.exists()):
        file = given or kept
        profile = load_profile(file)
        _check(profile, setup, file)
        return profile
    drafts: tuple[ModelDraft, ...] = ()
    if setup.model_dir.resolve() == _tiny():
        drafts = (ModelDraft(GAMMA, tinymodels.draft_dirs()["stock"]),)
    wish = Wish(
        setup.model_dir, setup.limits, setup.options, budget_s, ranks=(8, 16), drafts=drafts, seed=seed
    )
    out.mkdir(parents=True, exist_ok=True)
    samples = out / "profile.samples.jsonl"
    profile = calibrate_engine(wish, samples, force=True, progress=tell)
    profile = profile.model_copy(update={"name": "profile", "raw": {"samples": samples.name}})
    save_profile(profile, kept)
    return profile


def _tiny() -> Path | None:
    """The tiny model's folder, if its drafts are there too."""
    return None if missing() else model_folder(TINY).resolve()


def _check(profile: Profile, setup: LiveSetup, file: Path) -> None:
    from calibration.engine.config import read_architecture

    if profile.engine != "builtin" or not profile.models:
        raise InputError(
            f"{file}: engine is {profile.engine}; allowed: builtin. Make one with `calibrate run`, or leave "
            "--profile out."
        )
    shape, known = read_architecture(setup.model_dir).shape, profile.models[0].model
    sizes = {"name", "weights_dtype"}
    if shape.model_dump(exclude=sizes) != known.model_dump(exclude=sizes):
        raise InputError(
            f"{file}: is of {known.name}; allowed: a profile of {setup.model_dir}. Make one with "
            "`calibrate run`, or leave --profile out."
        )
