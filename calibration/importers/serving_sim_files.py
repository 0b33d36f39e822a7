"""The operator tables of LLMServingSim's profiler, found and read: microseconds of one layer's kernels.

Two layouts are read: the profiler's own, GPU/ORG/MODEL/VARIANT/tpN/{dense,attention,per_sequence}.csv with a
meta.yaml beside the degrees, and tables of several GPUs and models put together, llmservingsim_NAME.csv[.gz]
with the columns gpu, model and tp in front and llmservingsim_meta.json beside them.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.files import read_json, read_text
from calibration.importers.csvrows import Row, csv_rows

Array = NDArray[np.float64]
Attention = dict[tuple[int, int, int, int], float]

LICENCE: Final = "MIT"
ORIGIN: Final = "LLMServingSim, casys-kaist/LLMServingSim"
PROFILER_VERSIONS: Final = ("1.0.0",)
"""What this reader was written for; another version may count differently."""

_META_BYTES: Final = 2**20
_COLUMNS: Final = {
    "dense": ("layer", "tokens", "time_us"),
    "attention": ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"),
    "per_sequence": ("layer", "sequences", "time_us"),
}


@dataclass(frozen=True, slots=True)
class LayerTables:
    """One GPU, model and degree. Times in seconds.

    dense and per_sequence: by layer name, (x rising, seconds). attention: seconds of one layer by
    (prompt tokens, their context, decoding sequences, context of each of them).
    """

    gpu: str
    model: str
    tensor_parallel: int
    vllm_version: str
    profiler_version: str
    measured: str
    dense: dict[str, tuple[Array, Array]]
    attention: Attention
    per_sequence: dict[str, tuple[Array, Array]]

    @property
    def source(self) -> str:
        """What a term made of these tables cites."""
        return (
            f"{ORIGIN}, profiler {self.profiler_version} of {self.measured}: {self.gpu}, {self.model}, "
            f"TP {self.tensor_parallel}, vLLM {self.vllm_version}"
        )


def known_tables(folder: Path) -> list[tuple[str, str, int]]:
    """(GPU, model, degree) of every set of tables in a folder of either layout.

    Raises:
        InputError: the folder holds none.
    """
    together = _together(folder, "dense")
    if together is not None:
        rows = csv_rows(together, ("gpu", "model", "tp"))
        return _some(sorted({(row["gpu"], row["model"], row.whole("tp")) for row in rows}), folder)
    found = []
    for path in sorted(folder.glob("*/*/*/*/tp*/dense.csv")):
        gpu, org, model, _, degree = path.relative_to(folder).parts[:5]
        if degree[2:].isascii() and degree[2:].isdigit():
            found.append((gpu, f"{org}/{model}", int(degree[2:])))
    return _some(found, folder)


def _some(found: list[tuple[str, str, int]], folder: Path) -> list[tuple[str, str, int]]:
    """What was found, if anything (InputError)."""
    if not found:
        raise InputError(
            f"{folder}: holds no tables; allowed: a folder with llmservingsim_dense.csv, or LLMServingSim's "
            "profiler/perf."
        )
    return found


def read_tables(folder: Path, gpu: str, model: str, tensor_parallel: int) -> LayerTables:
    """Read the tables of one GPU, model and degree.

    Raises:
        InputError: not there (says what is), a column missing, a time that is not positive, or a profiler
            version whose tables this reader does not know.
    """
    known = known_tables(folder)
    if (gpu, model, tensor_parallel) not in known:
        listed = "; ".join(f"{g} {m} TP {t}" for g, m, t in known)
        raise InputError(
            f"{folder}: has no tables of {gpu}, {model}, TP {tensor_parallel}; allowed: {listed}."
        )
    facts = _meta(folder, gpu, model)
    version = facts.get("profiler_version", "unknown")
    if version not in PROFILER_VERSIONS:
        raise InputError(
            f"{folder}: profiler_version is {version}; allowed: {', '.join(PROFILER_VERSIONS)}. Tables of "
            "another version may count differently."
        )
    rows = {name: _rows(folder, name, gpu, model, tensor_parallel) for name in _COLUMNS}
    return LayerTables(
        gpu=gpu,
        model=model,
        tensor_parallel=tensor_parallel,
        vllm_version=facts.get("vllm_version", "unknown"),
        profiler_version=version,
        measured=facts.get("profiled_at", "unknown date")[:10],
        dense=_curves(rows["dense"], "tokens"),
        attention={_place(row): _time_s(row) for row in rows["attention"]},
        per_sequence=_curves(rows["per_sequence"], "sequences"),
    )


def _together(folder: Path, name: str) -> Path | None:
    for ending in (".csv", ".csv.gz"):
        path = folder / f"llmservingsim_{name}{ending}"
        if path.is_file():
            return path
    return None


def _rows(folder: Path, name: str, gpu: str, model: str, degree: int) -> list[Row]:
    together = _together(folder, name)
    if together is None:
        path = next(iter(sorted(folder.glob(f"{gpu}/{model}/*/tp{degree}/{name}.csv"))), None)
        if path is None:
            raise InputError(
                f"{folder}: has no {name}.csv of {gpu}, {model}, TP {degree}; allowed: all three."
            )
        return csv_rows(path, _COLUMNS[name])
    wanted = (gpu, model, str(degree))
    found = csv_rows(together, ("gpu", "model", "tp", *_COLUMNS[name]))
    rows = [row for row in found if (row["gpu"], row["model"], row["tp"]) == wanted]
    if not rows:
        raise InputError(f"{together.name}: has no rows of {gpu}, {model}, TP {degree}; allowed: all tables.")
    return rows


def _meta(folder: Path, gpu: str, model: str) -> dict[str, str]:
    """Versions and date, as far as they are told; what is neither text nor number nor date is not."""
    path = folder / "llmservingsim_meta.json"
    found: object
    if path.is_file():
        found = read_json(path, max_bytes=_META_BYTES).get(f"{gpu}/{model}")
        if not isinstance(found, dict):
            raise InputError(f"{path.name}: does not describe {gpu}/{model}; allowed: one entry a model.")
    else:
        wanted = (gpu, *model.split("/"))
        places = sorted(folder.glob("*/*/*/*/meta.yaml"))
        place = next((one for one in places if one.relative_to(folder).parts[:3] == wanted), None)
        if place is None:
            raise InputError(
                f"{folder}: has no meta.yaml of {gpu}, {model}; allowed: the profiler's own folder."
            )
        found = _yaml(place)
    facts = found if isinstance(found, dict) else {}
    return {
        str(key): str(value)
        for key, value in facts.items()
        if isinstance(key, str) and isinstance(value, str | float | datetime.date)
    }


def _yaml(place: Path) -> object:
    """The profiler's own note; written by a program that may use aliases, so not read as a scenario is."""
    import yaml

    try:
        return yaml.safe_load(read_text(place, max_bytes=_META_BYTES))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise InputError(f"{place.name}: is no YAML: {said:.80}.") from None


def _curves(rows: list[Row], axis: str) -> dict[str, tuple[Array, Array]]:
    points: dict[str, dict[int, float]] = {}
    for row in rows:
        points.setdefault(row["layer"], {})[row.whole(axis)] = _time_s(row)
    return {
        name: (np.asarray(sorted(found), dtype=np.float64), np.asarray([found[x] for x in sorted(found)]))
        for name, found in points.items()
    }


def _place(row: Row) -> tuple[int, int, int, int]:
    chunk, before, count, each = map(row.whole, ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode"))
    return chunk, before, count, each


def _time_s(row: Row) -> float:
    return 1e-6 * row.positive("time_us")
