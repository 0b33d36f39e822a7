"""Weights of a model in Hugging Face layout: safetensors, whole or sharded, fused as the engine computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from advisor.errors import InputError
from advisor.files import read_json
from advisor.spec.model import ATTENTION_MODULES
from calibration.engine.config import Architecture
from calibration.engine.matrix import blocked, plain
from calibration.engine.safefiles import listed, opened, pickle_sentence, pickles_in, shapes_in

SINGLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PACKED: Final[dict[str, tuple[str, ...]]] = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
"""Modules that read the same input are one matrix: packed name -> modules, in the order of their rows."""


@dataclass(slots=True)
class Layer:
    """One decoder layer. Matrices are (d_out, d_in), as torch's linear wants them."""

    matrices: dict[str, Tensor]  # packed name -> weight, plain or blocked (matrix.py)
    biases: dict[str, Tensor]  # packed name -> bias, where there is one
    input_norm: Tensor  # (hidden,)
    post_norm: Tensor  # (hidden,)
    q_norm: Tensor | None = None  # (head_dim,)
    k_norm: Tensor | None = None


@dataclass(slots=True)
class Weights:
    """All of a model. The head is the embedding where they are tied, unless it is blocked (matrix.py)."""

    embedding: Tensor  # (vocab, hidden)
    layers: list[Layer]
    norm: Tensor  # (hidden,)
    head: Tensor  # (vocab, hidden)

    def tensors(self) -> list[Tensor]:
        """Each tensor once, matrices in plain layout."""
        found = [self.embedding, self.norm]
        if self.head is not self.embedding:
            found.append(plain(self.head))
        for layer in self.layers:
            found += [plain(matrix) for matrix in layer.matrices.values()]
            found += [*layer.biases.values(), layer.input_norm, layer.post_norm]
            found += [norm for norm in (layer.q_norm, layer.k_norm) if norm is not None]
        return found

    def block(self) -> None:
        """Lay out every matrix, head included, as the device multiplies fastest.

        One after the other, to keep the peak low. A tied embedding is held twice from then on.
        """
        self.head = blocked(self.head)
        for layer in self.layers:
            for name in list(layer.matrices):
                layer.matrices[name] = blocked(layer.matrices.pop(name))

    def map(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """The same weights with each tensor changed (moved, cast); tied ones stay tied."""
        embedding = change(self.embedding)
        return Weights(
            embedding=embedding,
            layers=[
                Layer(
                    {name: change(value) for name, value in layer.matrices.items()},
                    {name: change(value) for name, value in layer.biases.items()},
                    change(layer.input_norm),
                    change(layer.post_norm),
                    None if layer.q_norm is None else change(layer.q_norm),
                    None if layer.k_norm is None else change(layer.k_norm),
                )
                for layer in self.layers
            ],
            norm=change(self.norm),
            head=embedding if self.head is self.embedding else change(self.head),
        )


def module_path(layer: int, module: str) -> str:
    """Name of a linear module in the file, without `.weight`."""
    block = "self_attn" if module in ATTENTION_MODULES else "mlp"
    return f"model.layers.{layer}.{block}.{module}"


def rows_of(architecture: Architecture, packed: str) -> list[tuple[str, int, int]]:
    """(module, first row, row behind the last) of a packed matrix."""
    rows, first = [], 0
    for module in PACKED[packed]:
        _, d_out = architecture.shape.linear_shape(module)
        rows.append((module, first, first + d_out))
        first += d_out
    return rows


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Every tensor that the files must hold."""
    shape = architecture.shape
    expected: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (shape.vocab_size, shape.hidden_size),
        "model.norm.weight": (shape.hidden_size,),
    }
    if not shape.tie_word_embeddings:
        expected["lm_head.weight"] = (shape.vocab_size, shape.hidden_size)
    biased = _biased(architecture)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        expected[f"{prefix}.input_layernorm.weight"] = (shape.hidden_size,)
        expected[f"{prefix}.post_attention_layernorm.weight"] = (shape.hidden_size,)
        if architecture.qk_norm:
            expected[f"{prefix}.self_attn.q_norm.weight"] = (shape.head_dim,)
            expected[f"{prefix}.self_attn.k_norm.weight"] = (shape.head_dim,)
        for packed, modules in PACKED.items():
            for module in modules:
                d_in, d_out = shape.linear_shape(module)
                expected[f"{module_path(layer, module)}.weight"] = (d_out, d_in)
                if packed in biased:
                    expected[f"{module_path(layer, module)}.bias"] = (d_out,)
    return expected


def read_weights(model_dir: str | Path, architecture: Architecture, dtype: torch.dtype) -> Weights:
    """Read all tensors into host memory, cast to `dtype`.

    Raises:
        InputError: a pickle in place of safetensors, a truncated file, an index that leaves the folder,
            tensors that are missing, unknown or of another shape than config.json says; all at once.
    """
    folder = Path(model_dir)
    files = _files(folder)
    expected = expected_shapes(architecture)
    where = _located(files, expected, architecture, folder)
    read: dict[str, Tensor] = {}
    for file in files:
        names = [name for name, holder in where.items() if holder == file]
        with opened(file) as handle:
            for name in names:
                read[name] = handle.get_tensor(name).to(dtype)
    return _assembled(read, architecture)


def read_module(model_dir: str | Path, layer: int, module: str) -> Tensor:
    """Read one linear module's weight again (d_out, d_in), in its stored dtype.

    Raises:
        InputError: no file of the folder holds it any more.
    """
    name = f"{module_path(layer, module)}.weight"
    for file in _files(Path(model_dir)):
        with opened(file) as handle:
            if name in handle.keys():  # noqa: SIM118 - the handle is no mapping
                tensor: Tensor = handle.get_tensor(name)
                return tensor
    raise InputError(f"{model_dir}: {name} is missing. The folder has changed since the model was loaded.")


def _biased(architecture: Architecture) -> set[str]:
    return {
        packed
        for packed, biased in (
            ("qkv", architecture.qkv_bias),
            ("o", architecture.o_bias),
            ("gate_up", architecture.mlp_bias),
            ("down", architecture.mlp_bias),
        )
        if biased
    }


def _files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Name the folder that holds config.json.")
    index = folder / INDEX
    if index.is_file():
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(n, str) for n in names.values()):
            raise InputError(f"{index}: weight_map is not a mapping of tensor names to files.")
        for name in sorted(set(names.values())):
            if Path(name).name != name or name in ("", ".", ".."):
                raise InputError(f"{index}: weight_map names {name!r}; allowed: files of the same folder.")
        return [folder / name for name in sorted(set(names.values()))]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    pickles = pickles_in(folder)
    if pickles:
        raise InputError(pickle_sentence(pickles[0]))
    raise InputError(f"{folder}: holds neither {SINGLE} nor {INDEX}. Name a folder with safetensors weights.")


def _located(
    files: list[Path], expected: Mapping[str, tuple[int, ...]], architecture: Architecture, folder: Path
) -> dict[str, Path]:
    """File of each expected tensor, or all that is wrong."""
    where: dict[str, Path] = {}
    wrong, unknown = [], []
    for file in files:
        for name, shape in shapes_in(file).items():
            if name in expected:
                where[name] = file
                if shape != expected[name]:
                    wrong.append(
                        f"{file}: {name} has shape {list(shape)}; allowed: {list(expected[name])}, "
                        "by config.json."
                    )
            elif not _ignorable(name, architecture):
                unknown.append(f"{file}: {name} is not a tensor of this architecture.")
    missing = [
        f"{folder}: {name} is missing from the safetensors files." for name in expected if name not in where
    ]
    if wrong or unknown or missing:
        raise InputError([*listed(missing), *listed(wrong), *listed(unknown)])
    return where


def _ignorable(name: str, architecture: Architecture) -> bool:
    """Tensors that some files hold beside the weights: computed tables, and a tied head."""
    tied = architecture.shape.tie_word_embeddings and name == "lm_head.weight"
    return tied or name.endswith("rotary_emb.inv_freq")


def _assembled(read: dict[str, Tensor], architecture: Architecture) -> Weights:
    """Fuse what reads the same input. Each tensor leaves `read` as it is used, to keep the peak low."""
    biased = _biased(architecture)
    layers = []
    for index in range(architecture.shape.layers):
        prefix = f"model.layers.{index}"
        matrices, biases = {}, {}
        for packed, modules in PACKED.items():
            paths = [module_path(index, module) for module in modules]
            matrices[packed] = torch.cat([read.pop(f"{path}.weight") for path in paths]).contiguous()
            if packed in biased:
                biases[packed] = torch.cat([read.pop(f"{path}.bias") for path in paths])
        layers.append(
            Layer(
                matrices,
                biases,
                read.pop(f"{prefix}.input_layernorm.weight"),
                read.pop(f"{prefix}.post_attention_layernorm.weight"),
                read.pop(f"{prefix}.self_attn.q_norm.weight", None),
                read.pop(f"{prefix}.self_attn.k_norm.weight", None),
            )
        )
    embedding = read.pop("model.embed_tokens.weight")
    head = embedding if architecture.shape.tie_word_embeddings else read.pop("lm_head.weight")
    return Weights(embedding, layers, read.pop("model.norm.weight"), head)
