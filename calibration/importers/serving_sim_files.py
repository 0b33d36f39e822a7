"""The operator tables of LLMServingSim's profiler, found and read: microseconds of one layer's kernels.

Two layouts are read: the profiler's own, GPU/ORG/MODEL/VARIANT/tpN/{dense,attention,per_sequence}.csv with a
meta.yaml beside the degrees, and tables of several GPUs and models put together, llmservingsim_NAME.csv[.gz]
with the columns gpu, model and tp in front and llmservingsim_meta.json beside them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.files import read_bytes
from calibration.importers.server_files import csv_rows

Array = NDArray[np.float64]
Attention = dict[tuple[int, int, int, int], float]

LICENCE: Final = "MIT"
ORIGIN: Final = "LLMServingSim, casys-kaist/LLMServingSim"
PROFILER_VERSIONS: Final = ("1.0.0",)
"""What this reader was written for; another version may count differently."""

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
        return sorted({(row["gpu"], row["model"], int(row["tp"])) for row in rows})
    found = []
    for path in sorted(folder.glob("*/*/*/*/tp*/dense.csv")):
        gpu, org, model, _, degree = path.relative_to(folder).parts[:5]
        found.append((gpu, f"{org}/{model}", int(degree.removeprefix("tp"))))
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
    version = str(facts.get("profiler_version", "unknown"))
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
        vllm_version=str(facts.get("vllm_version", "unknown")),
        profiler_version=version,
        measured=str(facts.get("profiled_at", "unknown date"))[:10],
        dense=_curves(rows["dense"], "tokens"),
        attention={
            (int(r["prefill_chunk"]), int(r["kv_prefill"]), int(r["n_decode"]), int(r["kv_decode"])): _time_s(
                r
            )
            for r in rows["attention"]
        },
        per_sequence=_curves(rows["per_sequence"], "sequences"),
    )


def _together(folder: Path, name: str) -> Path | None:
    for ending in (".csv", ".csv.gz"):
        path = folder / f"llmservingsim_{name}{ending}"
        if path.is_file():
            return path
    return None


def _rows(folder: Path, name: str, gpu: str, model: str, degree: int) -> list[dict[str, str]]:
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


def _meta(folder: Path, gpu: str, model: str) -> dict[str, Any]:
    path = folder / "llmservingsim_meta.json"
    if path.is_file():
        try:
            found = json.loads(read_bytes(path))[f"{gpu}/{model}"]
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path.name}: does not describe {gpu}/{model}; allowed: one entry a model."
            ) from None
        return dict(found)
    place = next(iter(sorted(folder.glob(f"{gpu}/{model}/*/meta.yaml"))), None)
    if place is None:
        raise InputError(f"{folder}: has no meta.yaml of {gpu}, {model}; allowed: the profiler's own folder.")
    import yaml

    try:
        content = yaml.safe_load(read_bytes(place))
    except yaml.YAMLError as error:
        raise InputError(f"{place.name}: is no YAML: {str(error).splitlines()[0]:.80}.") from None
    return dict(content) if isinstance(content, dict) else {}


def _curves(rows: list[dict[str, str]], axis: str) -> dict[str, tuple[Array, Array]]:
    points: dict[str, dict[int, float]] = {}
    for row in rows:
        points.setdefault(row["layer"], {})[int(row[axis])] = _time_s(row)
    return {
        name: (np.asarray(sorted(found), dtype=np.float64), np.asarray([found[x] for x in sorted(found)]))
        for name, found in points.items()
    }


def _place(row: dict[str, str]) -> tuple[int, int, int, int]:
    return int(row["prefill_chunk"]), int(row["kv_prefill"]), int(row["n_decode"]), int(row["kv_decode"])


def _time_s(row: dict[str, str]) -> float:
    try:
        time_s = 1e-6 * float(row["time_us"])
    except ValueError:
        time_s = math.nan
    if not (math.isfinite(time_s) and time_s > 0):
        raise InputError(f"time_us is {row['time_us']!r:.40}; allowed: microseconds above 0.")
    return time_s
