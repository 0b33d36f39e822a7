"""Reading one LoRA adapter from its PEFT folder: rank, modules, and whatever makes it hard to serve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import ConfigDict, Field

from advisor.errors import InputError, validated
from advisor.files import read_json
from advisor.problem import Problem
from advisor.spec.adapter import Rank
from advisor.spec.model import ALL_LINEAR, ATTENTION_MODULES, Module
from advisor.spec.spec import Spec

Trait = Literal[
    "dora",  # use_dora: a magnitude beside A and B
    "rslora",  # use_rslora: scaled by alpha / sqrt(r) in place of alpha / r
    "patterns",  # rank_pattern or alpha_pattern: differs by module
    "modules_to_save",  # fully trained modules beside A and B
    "bias",  # trained biases
    "alora",  # activated LoRA: applies to part of the tokens
    "init",  # PiSSA, OLoRA, CorDA, LoftQ, EVA: the base's weights were changed at the start
    "layer_replication",  # layers are repeated
    "embeddings",  # adapts embed_tokens or lm_head
]
_EMBEDDINGS: Final = ("embed_tokens", "lm_head")
_PLAIN_INITS: Final = (True, False, "gaussian", "orthogonal")
_CONFIG: Final = "adapter_config.json"
_MAX_BYTES: Final = 4 * 2**20  # an adapter_config.json has some thousands
_WEIGHTS: Final = "adapter_model.safetensors"


class _Config(Spec):
    """The fields of adapter_config.json that decide cost and servability; the others are ignored."""

    model_config = ConfigDict(extra="ignore")

    peft_type: Literal["LORA"] = Field(description="Only LoRA adapters can be served or merged this way.")
    r: Rank
    target_modules: str | tuple[str, ...] = Field(description="List the modules, or write all-linear.")
    lora_alpha: Annotated[float, Field(gt=0, le=1e6)] | None = None
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Annotated[float, Field(gt=0, le=1e6)]] | None = None
    use_rslora: bool = False
    use_dora: bool = False
    modules_to_save: tuple[str, ...] | None = None
    bias: Literal["none", "all", "lora_only"] = "none"
    lora_bias: bool = False
    init_lora_weights: bool | str | None = True
    alora_invocation_tokens: tuple[int, ...] | None = None
    layer_replication: tuple[tuple[int, int], ...] | None = None
    base_model_name_or_path: str | None = None


@dataclass(frozen=True, slots=True)
class PeftAdapter:
    """One adapter as its folder describes it."""

    name: str  # the folder's name
    rank: int  # the largest over modules
    modules: tuple[str, ...]  # in the order of ALL_LINEAR
    traits: frozenset[Trait]
    scale: float | None  # what multiplies B·A; None where lora_alpha is not given
    base_model: str | None  # base_model_name_or_path
    file_bytes: int | None  # size of adapter_model.safetensors; None if it is not there


def adapter_from_folder(path: str | Path) -> PeftAdapter:
    """Read an adapter from the folder that PEFT's `save_pretrained` wrote.

    Raises:
        InputError: no such folder or file, not JSON, not LoRA, a rank or alpha that is missing or absurd,
            or modules that the step-time model does not know.
    """
    folder = Path(path).parent if Path(path).name == _CONFIG else Path(path)
    if not folder.exists():
        raise InputError(f"{folder}: no such folder. Name the folder that holds {_CONFIG}.")
    source = str(folder / _CONFIG)
    config = validated(_Config, _without_nulls(read_json(source, max_bytes=_MAX_BYTES)), source)
    ranks = (config.r, *(config.rank_pattern or {}).values())
    root = config.r**0.5 if config.use_rslora else float(config.r)
    weights = folder / _WEIGHTS
    return PeftAdapter(
        name=folder.resolve().name or str(folder),
        rank=max(ranks),
        modules=_modules(config.target_modules, source),
        traits=_traits(config),
        scale=None if config.lora_alpha is None else config.lora_alpha / root,
        base_model=config.base_model_name_or_path,
        file_bytes=weights.stat().st_size if weights.is_file() else None,
    )


def _without_nulls(raw: dict[str, Any]) -> dict[str, Any]:
    """PEFT writes null for what was not set."""
    return {key: value for key, value in raw.items() if value is not None}


def _traits(config: _Config) -> frozenset[Trait]:
    """Name what an engine may be unable to serve."""
    target = config.target_modules
    found: dict[Trait, object] = {
        "dora": config.use_dora,
        "rslora": config.use_rslora,
        "patterns": config.rank_pattern or config.alpha_pattern,
        "modules_to_save": config.modules_to_save,
        "bias": config.bias != "none" or config.lora_bias,
        "alora": config.alora_invocation_tokens,
        "init": config.init_lora_weights not in _PLAIN_INITS,
        "layer_replication": config.layer_replication,
        "embeddings": not isinstance(target, str) and any(_last(name) in _EMBEDDINGS for name in target),
    }
    assert set(found) == set(get_args(Trait))
    return frozenset(trait for trait, value in found.items() if value)


def _modules(target: str | tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the adapted linear modules, from names, "all-linear", or a pattern over full names."""
    if target == "all-linear":
        return ALL_LINEAR
    if isinstance(target, str):
        return _matching(target, source)
    names = {_last(name) for name in target} - set(_EMBEDDINGS)
    unknown = sorted(names - set(get_args(Module)))
    if unknown or not names:
        mend = f"{unknown[0]} is not a linear module of a Llama-like model." if unknown else ""
        allowed = f"some of {', '.join(ALL_LINEAR)}, or all-linear"
        raise InputError(Problem(source, "target_modules", list(target), allowed, mend))
    return tuple(module for module in ALL_LINEAR if module in names)


def _matching(pattern: str, source: str) -> tuple[str, ...]:
    """PEFT matches the pattern against the full name of each module; a few layers stand for all."""
    allowed = "all-linear, or a regular expression that matches names such as model.layers.0.self_attn.q_proj"
    problem = InputError(Problem(source, "target_modules", pattern, allowed))
    if len(pattern) > 1000 or re.search(r"[*+}]\)[*+{]", pattern):  # repeats of repeats can run for ever
        raise problem
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        raise problem from None
    matched = tuple(
        m for m in ALL_LINEAR if any(compiled.fullmatch(_full_name(m, layer)) for layer in (0, 1, 7, 15))
    )
    if not matched:
        raise problem
    return matched


def _full_name(module: str, layer: int) -> str:
    block = "self_attn" if module in ATTENTION_MODULES else "mlp"
    return f"model.layers.{layer}.{block}.{module}"


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]
