"""The whole validation: a profile, acceptance of drafts, every scenario. Read `validate_all`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field

from advisor import __version__
from advisor.errors import InputError
from advisor.files import write_text
from advisor.profile import Profile, load_profile, save_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.spec.spec import Spec
from calibration import tinymodels
from calibration.acceptance import measure_acceptance, with_acceptance, with_draft
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import ModelDraft, NgramDraft
from calibration.livesetup import LiveSetup, set_threads
from calibration.microbench.run import Wish, calibrate_engine
from calibration.modelfiles import cache_folder
from calibration.randomweights import write_adapter, write_model
from calibration.replay.rows import environment
from calibration.validate.matrix import CASES, Case
from calibration.validate.rounds import replay_s, run_rounds
from calibration.validate.run import CaseResult, Ground
from calibration.validate.verdict import MOST_REGRET, MOST_UTILISATION

Progress = Callable[[float, str], None]
QUICK = ("base, middle load", "8 adapters, Zipf")
_ADAPTERS = 64
_RANK = 8
_SMALL = ModelShape(
    name="small", hidden_size=512, layers=8, heads=8, kv_heads=4, head_dim=64, intermediate_size=1408,
    vocab_size=4096, tie_word_embeddings=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be validated."""

    out: Path
    model: str = "tiny"
    profile: Path | None = None
    calibration_budget: float = 60.0  # seconds
    scenarios: str = "all"
    replays: int = 2
    duration: float = 10.0  # seconds of a replay
    threads: int = 1
    seed: int = 0
    resume: bool = False


class Validation(Spec):
    """All scenarios of one model on one machine."""

    schema_version: Literal[1] = 1
    created: AwareDatetime
    producer: str
    model: str
    device: str
    profile_residual: str = Field("", description="Profile against engine steps that no fit saw.")
    environment: dict[str, str]
    cases: tuple[CaseResult, ...]

    @property
    def right_choices(self) -> int:
        """Scenarios whose first choice was right."""
        return sum(case.decision.right for case in self.cases)

    @property
    def not_told_apart(self) -> int:
        """Of these, scenarios whose replays put now one option first and now the other, or are within 1 %."""
        return sum(case.decision.right and case.decision.chosen != case.decision.best for case in self.cases)

    @property
    def worst_regret(self) -> float:
        """Largest regret."""
        return max((case.decision.regret for case in self.cases), default=0.0)

    @property
    def decisions_hold(self) -> bool:
        """Right in nine of ten, and no regret above 5 %."""
        return self.right_choices >= 0.9 * len(self.cases) and self.worst_regret <= MOST_REGRET

    def cells(self, *, below: bool) -> list[tuple[bool, float, str]]:
        """(holds, error, name) of all cells of options below (or above) 85 % utilisation."""
        return [
            (cell.holds, cell.error, cell.name)
            for case in self.cases
            for option in case.options
            if (option.utilisation <= MOST_UTILISATION) == below
            for cell in option.cells
        ]


def validate_all(asked: Asked, tell: Progress | None = None) -> Validation:
    """Calibrate where no profile was given, then run every scenario; every replay is saved as it comes.

    Raises:
        InputError: an unknown model or scenario, a bad profile.

    Drafts on a model of random weights would say nothing: its scenarios with drafts are left out.
    """
    tell = tell or (lambda _share, _what: None)
    set_threads(asked.threads)
    cases = chosen(asked.scenarios)
    asked.out.mkdir(parents=True, exist_ok=True)
    ground = prepare(asked, tell)
    cases = [case for case in cases if not case.text or ground.texts is not None]
    results = run_rounds(
        ground,
        cases,
        asked.out,
        resume=asked.resume,
        tell=lambda share, what: tell(0.15 + 0.85 * share, what),
    )
    residual = ground.profile.residual
    said = "" if residual is None else (
        f"median {residual.median_relative:+.1%}, nine in ten within {residual.p90_absolute_relative:.1%} "
        f"of {residual.points} steps"
    )  # fmt: skip
    result = Validation(
        created=datetime.now(UTC).replace(microsecond=0),
        producer=f"lora-advisor {__version__}",
        model=ground.setup.model_dir.name,
        device=ground.profile.device.name,
        profile_residual=said,
        environment=environment() | {"threads": str(asked.threads)},
        cases=tuple(results),
    )
    write_text(asked.out / "report.json", result.model_dump_json(indent=1) + "\n")
    return result


def within(asked: Asked, budget_s: float) -> Asked:
    """The same, in so many seconds: a fifth for the calibration (20 s to 120 s), the rest for the replays.

    Raises:
        InputError: too little for so many scenarios.
    """
    calibration_s = 0.0 if asked.profile else min(max(0.2 * budget_s, 20.0), 120.0)
    duration_s = replay_s(budget_s - calibration_s, chosen(asked.scenarios), asked.replays)
    return replace(asked, calibration_budget=calibration_s, duration=duration_s)


def chosen(names: str) -> Sequence[Case]:
    """Scenarios by name (InputError if there is none of a name)."""
    if names == "all":
        return CASES
    wanted = QUICK if names == "quick" else tuple(name.strip() for name in names.split(";") if name.strip())
    known = {case.name: case for case in CASES}
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise InputError(
            f"--scenarios is {'; '.join(unknown) or 'empty'}; allowed: all, quick, or of {'; '.join(known)}."
        )
    return [known[name] for name in wanted]


def prepare(asked: Asked, tell: Progress) -> Ground:
    """Model, adapters, profile, drafts with their acceptance; the profile is measured if there is none."""
    folder, shape_name = _model(asked.model)
    limits = EngineLimits(
        max_num_seqs=16,
        max_num_batched_tokens=256,
        max_loras=16,
        max_cpu_loras=_ADAPTERS,
        max_lora_rank=_RANK,
    )
    options = EngineOptions(kv_blocks=1024, dtype="float32")  # bf16 on a CPU compiles for each new shape
    adapters = _adapters(asked.out, folder, shape_name)
    setup = LiveSetup(folder, limits, options, adapters)
    drafts: dict[str, Path] = {}
    texts = None
    if asked.model == "tiny" and any(case.text for case in chosen(asked.scenarios)):
        drafts = {"stock": tinymodels.draft_dirs()["stock"]}
        texts = lambda count, tokens, seed: tinymodels.prompts("base", count, tokens, seed)  # noqa: E731
    profile = _profile(asked, setup, drafts, tell)
    if texts is not None:
        plain = LiveSetup(folder, limits.model_copy(update=_PLAIN), options)
        hows: list[NgramDraft | ModelDraft] = [NgramDraft(3)]
        hows += [ModelDraft(3, path) for path in drafts.values()]
        for how in hows:
            prompts = texts(192, 48, asked.seed + 77)  # others than those replayed
            found = measure_acceptance(with_draft(plain, how), prompts, output_tokens=80)
            profile = with_acceptance(profile, how, found)
    return Ground(setup, profile, drafts, texts, asked.replays, asked.duration, asked.seed)


_PLAIN = {"max_loras": 0, "max_cpu_loras": 0, "max_lora_rank": 0}


def _model(name: str) -> tuple[Path, str]:
    if name == "tiny":
        return tinymodels.model_dir(), "tiny"
    if name == "small":
        return write_model(_SMALL, cache_folder() / "small", dtype="float32", max_positions=2048), "small"
    raise InputError(f"--model is {name!r}; allowed: tiny or small.")


def _adapters(out: Path, model_dir: Path, name: str) -> dict[str, Path]:
    """Made-up adapters: time does not depend on what they say."""
    from calibration.engine.config import read_architecture

    architecture = read_architecture(model_dir)
    found = {}
    for index in range(_ADAPTERS):
        folder = cache_folder() / "adapters" / f"{name}-r{_RANK}" / f"a{index}"
        if not (folder / "adapter_config.json").exists():
            write_adapter(architecture.shape, folder, _RANK, dtype="float32", seed=index)
        found[f"a{index}"] = folder
    return found


def _profile(asked: Asked, setup: LiveSetup, drafts: dict[str, Path], tell: Progress) -> Profile:
    if asked.profile is not None:
        return load_profile(asked.profile)
    kept = asked.out / "profile.json"
    if asked.resume and kept.exists():
        return load_profile(kept)
    wish = Wish(
        setup.model_dir,
        setup.limits,
        setup.options,
        asked.calibration_budget,
        ranks=(_RANK,),
        drafts=(NgramDraft(3), *(ModelDraft(3, path) for path in drafts.values())) if drafts else (),
        seed=asked.seed,
    )
    profile = calibrate_engine(
        wish,
        asked.out / "profile.samples.jsonl",
        resume=asked.resume,
        force=not asked.resume,
        progress=lambda share, what: tell(0.15 * share, what),
    )
    profile = profile.model_copy(update={"name": "profile", "raw": {"samples": "profile.samples.jsonl"}})
    save_profile(profile, kept)
    return profile
