"""The operator tables of the package `aiconfigurator-core` (Apache-2.0), found and read.

Layout: `systems/data/SYSTEM/FAMILY/ENGINE/VERSION/NAME.parquet`; latencies in milliseconds.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.parquetfile import UnreadableError, open_parquet

Array = NDArray[np.float64]

PACKAGE = "aiconfigurator_core"
LICENCE = "Apache-2.0"

_FILES = {
    "gemm": "gemm_perf.parquet",
    "attention_prefill": "context_attention_perf.parquet",
    "attention_decode": "generation_attention_perf.parquet",
    "all_reduce": "custom_allreduce_perf.parquet",
}
_FAMILY = {
    "gemm": "gemm",
    "attention_prefill": "attention",
    "attention_decode": "attention",
    "all_reduce": "comm",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Some columns of one parquet file. Texts as arrays of str, numbers as float64."""

    path: str
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def where(self, **equal: str | float) -> Rows:
        """Keep the rows whose columns have these values; a column that the file lacks is not asked."""
        keep = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            if name in self.columns:
                keep &= self.columns[name] == value
        return Rows(self.path, {name: column[keep] for name, column in self.columns.items()})

    def number(self, name: str) -> Array:
        """A numeric column."""
        return np.asarray(self.columns[name], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one GPU and engine."""

    root: Path
    package_version: str
    system: str
    engine: str
    engine_version: str

    @property
    def source(self) -> str:
        """What a term made of these tables cites."""
        return (
            f"aiconfigurator-core {self.package_version} ({self.system}, {self.engine} {self.engine_version})"
        )

    def rows(self, table: str, columns: tuple[str, ...], *, optional: tuple[str, ...] = ()) -> Rows:
        """Read one table of this engine version, or of the nearest older one that has it.

        Raises:
            InputError: no version has the table, the file is not parquet, or it lacks a column.
        """
        folder = self.root / "data" / self.system / _FAMILY[table] / self.engine
        versions = _versions(folder, _FILES[table])
        version = _nearest(versions, self.engine_version)
        if version is None:
            raise InputError(
                f"{self.system}: has no {table} table of {self.engine}; allowed: a system that has one, "
                "such as h100_sxm with vllm."
            )
        return read_rows(folder / version / _FILES[table], columns, optional=optional)


def read_rows(path: Path, columns: tuple[str, ...], *, optional: tuple[str, ...] = ()) -> Rows:
    """Read columns of a parquet file.

    Raises:
        InputError: unreadable, not parquet, a column missing, or a latency that is not positive.
    """
    from pyarrow.lib import ArrowException

    name = "/".join(path.parts[-5:])
    try:
        file = open_parquet(path.read_bytes())
        known = file.schema_arrow.names
        missing = [column for column in columns if column not in known]
        if missing:
            raise InputError(f"{name}: lacks the column {missing[0]}; has: {', '.join(known)}.")
        table = file.read(columns=[*columns, *(c for c in optional if c in known)], use_threads=False)
        table.validate(full=True)
    except (OSError, ArrowException, UnicodeDecodeError, UnreadableError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise InputError(f"{name}: cannot be read as parquet: {said:.120}") from None
    read = {column: table.column(column).to_numpy(zero_copy_only=False) for column in table.column_names}
    if "latency" in read:
        try:
            latency = np.asarray(read["latency"], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            latency = np.zeros(0)
        if len(latency) == 0 or not (np.isfinite(latency).all() and (latency > 0).all()):
            raise InputError(
                f"{name}: has no rows or a latency that is not positive; allowed: milliseconds above 0."
            )
    return Rows(name, read)


def find_tables(
    system: str, engine: str, engine_version: str | None = None, *, folder: str | Path | None = None
) -> Tables:
    """Find the tables of a GPU and engine.

    Args:
        system: name as in the package, such as h100_sxm.
        engine: vllm, sglang or trtllm.
        engine_version: as in the package; the newest if left out.
        folder: the package's `systems` folder; the installed package if left out.

    Raises:
        InputError: the package, the system, the engine or the version is missing; says what there is.
    """
    root, package_version = _installed() if folder is None else (_given(Path(folder)), "from a folder")
    data = root / "data"
    systems = sorted(p.name for p in data.iterdir() if (p / "gemm").is_dir())
    if system not in systems:
        raise InputError(f"--system is {system}; allowed: {', '.join(systems)}.")
    engines = sorted(p.name for p in (data / system / "gemm").iterdir() if p.is_dir())
    if engine not in engines:
        raise InputError(f"--engine is {engine}; allowed for {system}: {', '.join(engines)}.")
    versions = _versions(data / system / "gemm" / engine, _FILES["gemm"])
    if engine_version is not None and engine_version not in versions:
        raise InputError(
            f"--engine-version is {engine_version}; allowed for {system} and {engine}: {', '.join(versions)}."
        )
    if not versions:
        raise InputError(
            f"{system}: has no gemm table for {engine}; the package is incomplete, install it anew."
        )
    return Tables(root, package_version, system, engine, engine_version or versions[-1])


def _installed() -> tuple[Path, str]:
    from importlib.metadata import PackageNotFoundError, version

    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    root = Path(places[0]) / "systems" if places else None
    if root is None or not (root / "data").is_dir():
        raise InputError(
            "aiconfigurator-core is not installed. Install it with pip install 'lora-advisor[import]', "
            "or name its systems folder with --tables."
        )
    try:
        return root, version("aiconfigurator-core")
    except PackageNotFoundError:
        return root, "of unknown version"


def _given(folder: Path) -> Path:
    for root in (folder, folder / "systems", folder / PACKAGE / "systems"):
        if (root / "data").is_dir():
            return root
    raise InputError(
        f"--tables is {folder}; allowed: the systems folder of aiconfigurator-core (it holds data/)."
    )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _versions(folder: Path, file: str) -> list[str]:
    """Versions that hold the file, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((p.name for p in folder.iterdir() if (p / file).is_file()), key=_order)


def _nearest(versions: list[str], wanted: str) -> str | None:
    """The wanted version, else the nearest older, else the oldest newer one; None without any."""
    older = [version for version in versions if _order(version) <= _order(wanted)]
    return older[-1] if older else next(iter(versions), None)
