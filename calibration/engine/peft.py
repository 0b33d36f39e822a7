"""Reading a PEFT adapter folder as matrices; what the engine cannot serve of it is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from advisor.errors import InputError
from advisor.files import read_json
from advisor.spec.model import ALL_LINEAR, ModelShape
from advisor.spec.peft import PeftAdapter, Trait, adapter_from_folder
from calibration.engine.safefiles import listed, pickle_sentence, pickles_in, shapes_in, tensors_in
from calibration.engine.weights import module_path

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."
_NAME: Final = re.compile(
    r"base_model\.model\.model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight"
)
_PEFT_ALPHA: Final = 8.0  # lora_alpha of peft.LoraConfig where the file names none
_REFUSED: Final[dict[Trait, str]] = {
    "dora": "use_dora: DoRA scales whole columns of the weights",
    "modules_to_save": "modules_to_save: fully trained modules",
    "bias": "bias: trained biases",
    "alora": "alora_invocation_tokens: an adapter for part of the tokens",
    "init": "init_lora_weights: an initialisation that changes the base's weights",
    "layer_replication": "layer_replication: repeated layers",
    "embeddings": "target_modules: an adapted embedding or head",
}


@dataclass(frozen=True, slots=True)
class Delta:
    """One module's share of an adapter: W + scale · B·A."""

    a: Tensor  # (rank, d_in)
    b: Tensor  # (d_out, rank)
    scale: float


@dataclass(frozen=True, slots=True)
class Described:
    """An adapter as its folder describes it, checked against the base; the matrices are not read yet."""

    folder: Path
    rank: int
    ranks: Mapping[tuple[int, str], int]  # of each (layer, module) that it adapts
    scales: Mapping[tuple[int, str], float]
    file_bytes: int


def describe_adapter(path: str | Path, base: ModelShape, max_lora_rank: int | None = None) -> Described:
    """Check an adapter folder without reading its matrices.

    Raises:
        InputError: no such folder, a pickle, a file that lies outside the folder, something that the engine
            does not compute, a rank above `max_lora_rank`, tensors that are unknown, unpaired, missing or
            of a shape that this base does not have; all of one kind at once.
    """
    folder = Path(path)
    adapter = adapter_from_folder(folder)
    config = folder / CONFIG
    _refuse(adapter, config)
    if max_lora_rank is not None and adapter.rank > max_lora_rank:
        raise InputError(
            f"{config}: rank is {adapter.rank}; allowed: at most {max_lora_rank} (max_lora_rank). "
            "Raise max_lora_rank."
        )
    weights = _weights_file(folder)
    raw = read_json(config)
    _check_patterns(raw, config)
    ranks = _checked_shapes(weights, base, raw)
    return Described(
        folder,
        max(ranks.values()),
        ranks,
        {key: _scale(raw, module_path(*key), rank) for key, rank in ranks.items()},
        weights.stat().st_size,
    )


def read_adapter(described: Described, base: ModelShape) -> dict[tuple[int, str], Delta]:
    """Read the matrices into host memory: (layer, module) -> delta, in their stored dtype.

    Raises:
        InputError: the file is gone, or no longer holds what it held when it was described.
    """
    deltas = {}
    file = described.folder / WEIGHTS
    tensors = tensors_in(file)
    for (layer, module), scale in described.scales.items():
        name = f"{_PREFIX}{module_path(layer, module)}"
        a, b = (tensors.get(f"{name}.lora_{letter}.weight") for letter in "AB")
        (d_in, d_out), rank = base.linear_shape(module), described.ranks[layer, module]
        if a is None or b is None or a.shape != (rank, d_in) or b.shape != (d_out, rank):
            raise InputError(f"{file}: has changed since it was registered. Register the adapter again.")
        deltas[layer, module] = Delta(a, b, scale)
    return deltas


def inside(root: str | Path, name: str) -> Path:
    """The adapter folder `name` below `root`.

    Raises:
        InputError: the name climbs out of the root, directly or through a link.
    """
    folder = Path(root) / name
    if not folder.resolve().is_relative_to(Path(root).resolve()) or folder.resolve() == Path(root).resolve():
        raise InputError(f"adapter {name!r}: lies outside of {root}; allowed: a folder below it.")
    return folder


def _refuse(adapter: PeftAdapter, config: Path) -> None:
    wrong = [
        f"{config}: {_REFUSED[trait]}, which the built-in engine does not serve unmerged."
        for trait in sorted(adapter.traits & set(_REFUSED))
    ]
    if wrong:
        raise InputError(wrong)


def _weights_file(folder: Path) -> Path:
    file = folder / WEIGHTS
    if not file.is_file():
        pickles = pickles_in(folder)
        if pickles:
            raise InputError(pickle_sentence(pickles[0]))
    for part in (folder / CONFIG, file):
        if not part.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{part}: is a link out of its folder; allowed: a file in it. Copy the file there."
            )
    return file


def _checked_shapes(file: Path, base: ModelShape, raw: Mapping[str, Any]) -> dict[tuple[int, str], int]:
    """Rank of each adapted (layer, module), or all that is wrong."""
    found: dict[tuple[int, str], dict[str, tuple[int, ...]]] = {}
    wrong = []
    for name, shape in shapes_in(file).items():
        match = _NAME.fullmatch(name)
        if match is None or match[2] not in ALL_LINEAR:
            wrong.append(f"{file}: {name} is not a LoRA matrix of a linear module of a Llama-like model.")
        elif int(match[1]) >= base.layers:
            wrong.append(
                f"{file}: {name}: the base {base.name} has {base.layers} layers. Is it for another base?"
            )
        else:
            found.setdefault((int(match[1]), match[2]), {})[match[3]] = shape
    ranks = {}
    for key in sorted(found):
        problem = _shape_problem(
            key, found[key], base, _pattern(raw, "rank_pattern", module_path(*key), raw["r"])
        )
        if problem:
            wrong.append(f"{file}: {problem}")
        else:
            ranks[key] = found[key]["A"][0]
    absent = sorted(_promised(raw, base) - set(found))
    wrong += [f"{file}: {module_path(*key)} has no LoRA matrices." for key in absent]
    if wrong:
        raise InputError(listed(wrong))
    if not ranks:
        raise InputError(f"{file}: holds no LoRA matrices.")
    return ranks


def _shape_problem(
    key: tuple[int, str], shapes: Mapping[str, tuple[int, ...]], base: ModelShape, rank: int
) -> str:
    name = module_path(*key)
    for half in "AB":
        if half not in shapes:
            return f"{name}.lora_{half}.weight is missing."
    d_in, d_out = base.linear_shape(key[1])
    for half, allowed in (("A", (rank, d_in)), ("B", (d_out, rank))):
        if shapes[half] != allowed:
            return (
                f"{name}.lora_{half}.weight has shape {list(shapes[half])}; allowed: {list(allowed)} "
                f"for rank {rank} and the base {base.name}. Is it for another base?"
            )
    return ""


def _promised(raw: Mapping[str, Any], base: ModelShape) -> set[tuple[int, str]]:
    """What must be there: each listed module in every layer, unless the file restricts the layers."""
    targets = raw["target_modules"]
    if isinstance(targets, str) or any(raw.get(k) for k in ("layers_to_transform", "exclude_modules")):
        return set()
    names = [name for name in targets if name in ALL_LINEAR]
    return {(layer, name) for layer in range(base.layers) for name in names}


def _check_patterns(raw: Mapping[str, Any], config: Path) -> None:
    """The keys of rank_pattern and alpha_pattern are matched as regular expressions."""
    for field in ("rank_pattern", "alpha_pattern"):
        for pattern in raw.get(field) or {}:
            try:
                re.compile(pattern)
            except re.error:
                sane = False
            else:
                sane = len(pattern) <= 1000 and not re.search(r"[*+}]\)[*+{]", pattern)  # could run for ever
            if not sane:
                raise InputError(
                    f"{config}: {field} has the key {pattern!r:.60}; allowed: the end of a module's name, "
                    "or a plain regular expression."
                )


def _pattern(raw: Mapping[str, Any], field: str, path: str, default: float) -> Any:
    """PEFT's rule: the first pattern that matches the end of the module's name, else the default."""
    for pattern, value in (raw.get(field) or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", path):
            return value
    return default


def _scale(raw: Mapping[str, Any], path: str, rank: int) -> float:
    """Alpha / r, or alpha / √r for rank-stabilised LoRA (Kalajdzievski 2023)."""
    alpha = float(_pattern(raw, "alpha_pattern", path, raw.get("lora_alpha") or _PEFT_ALPHA))
    return alpha / float(rank) ** 0.5 if raw.get("use_rslora") else alpha / rank
