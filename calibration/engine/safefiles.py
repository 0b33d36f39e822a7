"""Opening safetensors files: what is wrong with one is one clear sentence; pickles are not opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from advisor.errors import InputError

_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_FLOATS: Final = ("F32", "F16", "BF16")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file; gives safetensors' handle with `keys`, `get_slice`, `get_tensor`.

    Raises:
        InputError: missing, unreadable, truncated or not a safetensors file.
    """
    with _refused(path), safe_open(str(path), framework="pt") as handle:
        yield handle


def tensors_in(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, read into memory.

    A handle's `get_tensor` would do as well, but leaves 64 bytes a tensor behind that nobody frees
    (safetensors 0.8.0), which a server that loads adapters for weeks would notice.

    Raises:
        InputError: as `opened`.
    """
    with _refused(path):
        try:
            return load(path.read_bytes())
        except KeyError as error:
            raise InputError(
                f"{path}: has tensors of dtype {error}; allowed: {', '.join(_FLOATS)}."
            ) from None


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """Turn what is wrong with the file into an InputError."""
    if path.suffix in _PICKLES:
        raise InputError(pickle_sentence(path))
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check that the folder is complete.")
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: is not a whole safetensors file ({error}). Copy or download it again."
        ) from None


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor, read from the header alone.

    Raises:
        InputError: the file is broken, or a tensor is not 16- or 32-bit float.
    """
    with opened(path) as handle:
        shapes = {}
        for name in handle.keys():  # noqa: SIM118 - the handle is no mapping
            part = handle.get_slice(name)
            if part.get_dtype() not in _FLOATS:
                raise InputError(
                    f"{path}: {name} has dtype {part.get_dtype()}; allowed: {', '.join(_FLOATS)}."
                )
            shapes[name] = tuple(part.get_shape())
    return shapes


def pickles_in(folder: Path) -> list[Path]:
    """Weight files of the folder that would run code when read."""
    return sorted(file for file in folder.iterdir() if file.suffix in _PICKLES) if folder.is_dir() else []


def pickle_sentence(path: Path) -> str:
    """Say why a pickle is not read."""
    return (
        f"{path}: is a pickle, which can run code when it is read; allowed: safetensors. "
        "Save the weights again with safe_serialization."
    )


def listed(problems: list[str], most: int = 8) -> list[str]:
    """The first problems, and how many more there are."""
    if len(problems) <= most:
        return problems
    return [*problems[:most], f"and {len(problems) - most} more of this kind."]
