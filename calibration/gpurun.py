"""Everything that a machine with a GPU can give within a time, in order of worth, saved after each part.

Parts: for each model a profile (ceilings, matrix products, attention, LoRA kernels over tokens, adapters,
rank and slots, loads by hop, merging, drafts, engine steps), and decoding and prompts against the ceilings,
with captured graphs and without; then replays beside predictions, and the field's claims.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from advisor.catalog.resolve import resolve_model
from advisor.errors import AdvisorError
from advisor.files import write_text
from advisor.profile import Profile, load_profile, save_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR, ModelShape
from calibration.engine.options import EngineOptions
from calibration.engine.speculate import NgramDraft
from calibration.livesetup import LiveSetup
from calibration.microbench.run import Wish, calibrate_engine
from calibration.modelfiles import cache_folder, model_folder
from calibration.randomweights import write_adapter
from calibration.replay.rows import environment
from calibration.validate.matrix import CASES
from calibration.validate.run import Ground, run_case

Progress = Callable[[float, str], None]
MODELS: Final = ("Llama-3.1-8B", "Llama-3.2-1B")
_ADAPTERS: Final = 64
_RANK: Final = 16
_RANKS: Final = (8, _RANK, 64)
"""Of the LoRA kernels; only the last is above what the slots of the served engine hold."""
_CLAIMS: Final = ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # C7 is of trained weights
_CLAIMS_REPLAYS: Final = 100  # about so many of full length, all claims and repeats together


@dataclass(frozen=True, slots=True)
class Asked:
    """What to do, and how long."""

    out: Path
    budget_s: float = 1500.0
    models: tuple[str, ...] = MODELS
    device: str = "cuda"
    dtype: str = "bfloat16"
    max_num_seqs: int = 64
    max_num_batched_tokens: int = 2048
    max_loras: int = 16
    kv_blocks: int = 4096
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its file says that it is done."""

    name: str
    share: float  # of the budget
    run: Callable[[float], dict[str, Any]]


def run_all(asked: Asked, tell: Progress | None = None) -> dict[str, str]:
    """Run the parts in order until the time is spent; parts that are done are kept.

    Returns:
        What became of each part: done, kept, skipped (no time left), or the sentence of its failure. A part
        that fails does not stop the others.
    """
    tell = tell or (lambda _share, _what: None)
    asked.out.mkdir(parents=True, exist_ok=True)
    began, states = perf_counter(), {}
    for number, part in enumerate(parts := _parts(asked)):
        file = asked.out / f"{part.name}.json"
        left = asked.budget_s - (perf_counter() - began)
        if file.exists():
            states[part.name] = "kept"
            continue
        if left < 0.3 * part.share * asked.budget_s:
            states[part.name] = "skipped: no time left"
            continue
        tell(number / len(parts), part.name)
        start = perf_counter()
        try:
            found = part.run(min(left, part.share * asked.budget_s))
        except (AdvisorError, RuntimeError, ImportError) as error:  # of a device: memory, kernels
            states[part.name] = f"failed: {error}"
            write_text(asked.out / f"{part.name}.failed.txt", f"{error}\n")
            continue
        found |= {"seconds": perf_counter() - start, "environment": environment()}
        write_text(file, json.dumps(found, indent=1) + "\n")
        states[part.name] = "done"
    return states


def _parts(asked: Asked) -> list[Part]:
    parts = []
    shares = (0.34, 0.14)
    for place, model in enumerate(asked.models):
        share = shares[min(place, 1)]
        name = _plain(model)
        parts.append(Part(f"profile-{name}", share, lambda s, m=model: _profile(asked, m, s)))  # type: ignore[misc]
        parts.append(Part(f"limits-{name}", 0.08, lambda s, m=model: _limits(asked, m)))  # type: ignore[misc]
    last = asked.models[-1]
    parts.append(Part("replays", 0.2, lambda s: _replays(asked, last, s)))
    parts.append(Part("claims", 0.1, lambda s: _claims(asked, last, s)))
    return parts


def _plain(model: str) -> str:
    return Path(model).name.replace(" ", "-")


def _folder(asked: Asked, model: str) -> Path:
    return model_folder(model, dtype=asked.dtype)


def _shape(asked: Asked, model: str) -> ModelShape:
    folder = _folder(asked, model)
    return resolve_model(str(folder / "config.json"), Path())


def _setup(asked: Asked, model: str, adapters: int) -> LiveSetup:
    limits = EngineLimits(
        max_num_seqs=asked.max_num_seqs,
        max_num_batched_tokens=asked.max_num_batched_tokens,
        max_loras=asked.max_loras,
        max_cpu_loras=max(adapters, asked.max_loras),
        max_lora_rank=_RANK,
    )
    options = EngineOptions(asked.kv_blocks, asked.dtype, asked.device)
    shape = _shape(asked, model)
    found = {}
    for index in range(adapters):
        folder = cache_folder() / "adapters" / f"{_plain(model)}-{asked.dtype}-r{_RANK}" / f"a{index}"
        if not (folder / "adapter_config.json").exists():
            write_adapter(shape, folder, _RANK, dtype=asked.dtype, seed=index)
        found[f"a{index}"] = folder
    return LiveSetup(_folder(asked, model), limits, options, found)


def _profile(asked: Asked, model: str, budget_s: float) -> dict[str, Any]:
    """Microbenchmarks and engine steps into `MODEL.profile.json`, raw samples beside it."""
    setup = _setup(asked, model, 0)
    name = _plain(model)
    samples = asked.out / f"{name}.samples.jsonl"
    wish = Wish(
        setup.model_dir,
        setup.limits,
        setup.options,
        0.9 * budget_s,
        ranks=_RANKS,
        drafts=(NgramDraft(3),),
        seed=asked.seed,
        command=f"calibrate gpu --model {model}",
    )
    profile = calibrate_engine(wish, samples, resume=samples.exists())
    profile = profile.model_copy(update={"name": f"{name}.profile", "raw": {"samples": samples.name}})
    save_profile(profile, asked.out / f"{name}.profile.json")
    residual = profile.residual
    return {
        "device": profile.device.model_dump(mode="json"), "notes": list(profile.notes),
        "residual": None if residual is None else residual.model_dump(mode="json"),
    }  # fmt: skip


def _limits(asked: Asked, model: str) -> dict[str, Any]:
    """Decoding against the copy bandwidth, prompts against the product rate; graphs on and off."""
    profile = _known(asked, model)
    shape = profile.models[0].model
    weights = sum(d_in * d_out for d_in, d_out in map(shape.linear_shape, ALL_LINEAR)) * shape.layers
    head = shape.vocab_size * shape.hidden_size
    element = {"float32": 4, "bfloat16": 2, "float16": 2}.get(asked.dtype, 2)
    read = element * (weights + head)
    found: dict[str, Any] = {}
    for graphs in ("auto", "off"):
        setup = _setup(asked, model, 0)
        plain = setup.limits.model_copy(update={"max_loras": 0, "max_cpu_loras": 0, "max_lora_rank": 0})
        options = replace(setup.options, graphs=graphs)
        engine = LiveSetup(setup.model_dir, plain, options).engine()
        decode_s = _decode_s(engine)
        prompt_s = _prompt_s(engine, asked.max_num_batched_tokens)
        flops = 2.0 * (weights * asked.max_num_batched_tokens + head)
        found[graphs] = {
            "graphs": engine.graphs,
            "decode_s": decode_s,
            "decode_of_copy_bandwidth": read / decode_s / profile.device.bandwidth_bytes_per_s,
            "prompt_s": prompt_s,
            "prompt_of_product_rate": flops / prompt_s / profile.device.bf16_flops_per_s,
        }
        engine.close()
    return found


def _decode_s(engine: Any) -> float:
    engine.add_request(list(range(1, 17)), max_tokens=80, ignore_eos=True)
    while engine.busy:
        engine.step()
    steps = [step for step in list(engine.books.steps)[-60:] if not step.batch.chunks]
    return float(np.median([step.end_s - step.start_s for step in steps]))


def _prompt_s(engine: Any, tokens: int) -> float:
    length = min(tokens, engine.architecture.max_positions - 8, engine.options.kv_blocks * 16 // 2)
    times = []
    for repeat in range(6):
        prompt = [1 + (7 * i + repeat) % (engine.architecture.shape.vocab_size - 1) for i in range(length)]
        engine.add_request(prompt, max_tokens=1, ignore_eos=True)
        while engine.busy:
            engine.step()
        times.append(engine.books.steps[-1].end_s - engine.books.steps[-1].start_s)
    return float(np.median(times) * tokens / length)


def _known(asked: Asked, model: str) -> Profile:
    return load_profile(asked.out / f"{_plain(model)}.profile.json")


def _replays(asked: Asked, model: str, budget_s: float) -> dict[str, Any]:
    """Scenarios of the validation's matrix, as many as there is time for."""
    profile = _known(asked, model)
    ground = Ground(
        _setup(asked, model, _ADAPTERS),
        profile,
        replays=2,
        duration_s=min(10.0, budget_s / 40),
        seed=asked.seed,
    )
    end = perf_counter() + budget_s
    found: list[dict[str, Any]] = []
    for case in CASES:
        if case.text:
            continue
        if found and perf_counter() > end:
            break
        found.append(run_case(ground, case).model_dump(mode="json"))
    return {"cases": found}


def _claims(asked: Asked, model: str, budget_s: float) -> dict[str, Any]:
    """The field's claims that need no trained weights, into `claims/`."""
    from calibration.claims.whole import Asked as Wanted
    from calibration.claims.whole import try_claims

    wanted = Wanted(
        asked.out / "claims",
        only=_CLAIMS,
        duration_s=min(1.5, budget_s / _CLAIMS_REPLAYS),
        seed=asked.seed,
        resume=True,
    )
    found = try_claims(wanted, _setup(asked, model, _ADAPTERS), _known(asked, model))
    return {"claims": [one.model_dump(mode="json") for one in found.claims]}
