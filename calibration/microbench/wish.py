"""What is to be calibrated, and the fingerprint by which its samples are known again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from advisor import __version__
from advisor.errors import InputError
from advisor.files import read_json
from advisor.spec.engine import EngineLimits
from calibration.engine.config import read_architecture
from calibration.engine.options import EngineOptions
from calibration.engine.peft import describe_adapter
from calibration.engine.speculate import ModelDraft, NgramDraft
from calibration.microbench.device import device_row
from calibration.microbench.drafts import label

_MUST_MATCH: Final = ("model", "device", "dtype", "threads", "machine")
_NO_SHAPE: Final = ("_name_or_path", "transformers_version")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be calibrated."""

    model_dir: Path
    limits: EngineLimits
    options: EngineOptions
    budget_s: float = 60.0
    ranks: tuple[int, ...] = ()  # of the LoRA kernels; none: the largest of the slots, its half and quarter
    drafts: tuple[NgramDraft | ModelDraft, ...] = ()
    seed: int = 0
    command: str = ""
    adapters: Mapping[str, Path] = field(default_factory=dict)  # name -> PEFT folder, loaded as they are


def fingerprint(wish: Wish) -> dict[str, Any]:
    """What samples must have in common to be of one calibration; folder names are no part of it.

    Raises:
        InputError: a model, draft or adapter that the engine cannot read.
    """
    return {
        **place(wish.model_dir, wish.options),
        "limits": wish.limits.model_dump(mode="json"), "kv_blocks": wish.options.kv_blocks,
        "graphs": wish.options.graphs, "ranks": list(wish.ranks), "seed": wish.seed,
        "drafts": [_draft(draft) for draft in wish.drafts],
        "adapters": _adapters(wish),
    }  # fmt: skip


def place(model_dir: Path, options: EngineOptions) -> dict[str, Any]:
    """The part of a fingerprint that says on what it runs: model, dtype, device, threads, versions."""
    stored = read_architecture(model_dir).stored_dtype
    dtype = stored if options.dtype == "auto" else options.dtype
    return {
        "model": _config(model_dir), "device": options.device,
        "dtype": str(dtype).removeprefix("torch."), "threads": torch.get_num_threads(),
        "machine": device_row(options.device, None).name,
        "torch": torch.__version__, "version": __version__,
    }  # fmt: skip


def check_place(found: dict[str, Any], now: dict[str, Any], source: str) -> None:
    """Refuse to compare what was measured of one thing with another; versions may differ.

    Raises:
        InputError: model, device, dtype, threads or machine differ.
    """
    for name in _MUST_MATCH:
        if name == "model" and found.get(name) != now[name]:
            was, asked = (_named(side.get(name)) for side in (found, now))
            raise InputError(f"{source}: model is {was}; asked: {asked}. Name the same one with --model.")
        if found.get(name) != now[name]:
            raise InputError(
                f"{source}: {name} is {found.get(name)}; asked: {now[name]}. "
                "Compare like with like, or calibrate anew."
            )


def _named(config: Any) -> str:
    if not isinstance(config, dict):
        return f"{config}"
    sizes = [f"{name} {config.get(name)}" for name in ("hidden_size", "num_hidden_layers", "vocab_size")]
    return f"one of {', '.join(sizes)}"


def _config(model_dir: Path) -> dict[str, Any]:
    raw = read_json(model_dir / "config.json")
    return {name: value for name, value in sorted(raw.items()) if name not in _NO_SHAPE}


def _draft(draft: NgramDraft | ModelDraft) -> dict[str, Any]:
    found: dict[str, Any] = {"label": label(draft), "length": draft.length}
    if isinstance(draft, ModelDraft):
        found |= {"label": f"model x{draft.length}", "model": _config(Path(draft.model_dir))}
    return found


def _adapters(wish: Wish) -> list[dict[str, Any]]:
    """Ranks and modules, in the order in which they are given."""
    if not wish.adapters or not wish.limits.max_loras:
        return []
    shape = read_architecture(wish.model_dir).shape
    told = [describe_adapter(folder, shape, wish.limits.max_lora_rank) for folder in wish.adapters.values()]
    return [
        {"rank": one.rank, "modules": sorted({module for _, module in one.ranks}), "bytes": one.file_bytes}
        for one in told
    ]
