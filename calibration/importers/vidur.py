"""A profile from Vidur's operator tables: products and element-wise operators of a model, measured.

microsoft/vidur @ 7d47513363ec (MIT). Two layouts: the repository's own (data/profiling/compute/GPU/ORG/MODEL/
mlp.csv, columns `time_stats.OPERATOR.median` in milliseconds) and a file of medians of several models
(vidur_mlp_ops_median.csv.gz, columns `OPERATOR_ms`). One layer each; `num_tokens` rows of the step. Its
attention tables are not read: attention, head, all-reduce, LoRA and the rest are `datasheet`'s, and say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from advisor.catalog.shapes import model as catalog_model
from advisor.errors import InputError
from advisor.profile import Curve, ModelTerms, Profile
from advisor.spec.spec import Origin
from calibration.importers.csvrows import Row, csv_rows
from calibration.importers.datasheet import datasheet_profile
from calibration.importers.dense import knots, rising
from calibration.importers.model_terms import CURVE_ERROR, floats

ORIGIN: Final = "microsoft/vidur @ 7d47513363ec"
LICENCE: Final = "MIT"
MEDIANS: Final = "vidur_mlp_ops_median.csv.gz"
DEVICES: Final = {"a40": "A40", "a100": "A100-80-SXM", "h100": "H100-80-SXM"}
"""GPU as the tables call it: name in the catalog."""
OPERATORS: Final = (
    "input_layernorm",
    "attn_pre_proj",
    "attn_rope",
    "attn_post_proj",
    "post_attention_layernorm",
    "mlp_up_proj",
    "mlp_act",
    "mlp_down_proj",
    "add",
)
"""Of one layer; its embedding is left out."""
_INTERVAL: Final = (0.78, 1.12)
"""The package's newer tables over Vidur's on A100 and H100, 15 models and degrees, 1 to 4096 tokens: 0.79 to
1.10; within 11 % up to 32 tokens but for one point, faster for prompts."""

Points = dict[int, list[float]]
Layers = dict[tuple[str, int], Points]
"""(model as the tables call it, degree): tokens, then the layer's seconds, once a measurement."""


def import_vidur(
    folder: Path,
    gpu: str,
    *,
    created: datetime,
    producer: str,
    models: Sequence[str] | None = None,
) -> Profile:
    """Read the tables of one GPU.

    Args:
        folder: of either layout; of the repository's own, `data/profiling` or what holds `compute`.
        gpu: as the tables call it.
        created: date of the profile, aware.
        producer: program and version.
        models: as the tables call them; all whose sizes are in the catalog if left out.

    Raises:
        InputError: folder, GPU, model, file or column missing; says what there is.
    """
    layers = read_layers(folder, gpu)
    if gpu not in DEVICES:
        raise InputError(f"--gpu is {gpu}; allowed: {', '.join(DEVICES)} (devices of the catalog).")
    there = sorted({name for name, _ in layers})
    missing = [name for name in models or () if name not in there]
    if missing:
        raise InputError(f"--models has {missing[0]}; allowed for {gpu}: {', '.join(there)}.")
    names = {name: known for name in models or there if (known := _catalog_name(name))}
    if not names:
        raise InputError(f"{folder}: has no model of the catalog for {gpu}; has: {', '.join(there)}.")
    base = datasheet_profile(
        DEVICES[gpu], created=created, producer=producer, models=tuple(dict.fromkeys(names.values()))
    )
    points = {(names[name], degree): found for (name, degree), found in layers.items() if name in names}
    terms = tuple(
        _measured(one, points[key])
        for one in base.models
        if (key := (one.model.name, one.tensor_parallel)) in points
    )
    left_out = [name for name in there if name not in names]
    return base.model_copy(
        update={
            "name": f"{gpu}-vidur",
            "method": "import",
            "command": f"calibrate import vidur {folder} --gpu {gpu}",
            "models": terms,
            "notes": (
                f"Dense terms: {ORIGIN}, {LICENCE}, kernels one by one. All else is from the datasheet.",
                *base.notes[1:],
                *((f"Left out, not in the catalog: {', '.join(left_out)}.",) if left_out else ()),
            ),
        }
    )


def read_layers(folder: Path, gpu: str) -> Layers:
    """Seconds of one layer by model, degree and tokens (InputError)."""
    medians = folder / MEDIANS
    if medians.is_file():
        return _read_medians(medians, gpu)
    place = next((p for p in (folder / "compute", folder) if (p / gpu).is_dir()), None)
    if place is None:
        raise InputError(
            f"{folder}: has neither {MEDIANS} nor compute/{gpu}; allowed: Vidur's data/profiling, or a "
            "folder with the medians."
        )
    found: Layers = {}
    columns = tuple(f"time_stats.{name}.median" for name in OPERATORS)
    for file in sorted((place / gpu).glob("*/*/mlp.csv")):
        name = "/".join(file.parts[-3:-1])
        for row in csv_rows(file, (*columns, "num_tokens", "num_tensor_parallel_workers")):
            point = (row.whole("num_tensor_parallel_workers"), row.whole("num_tokens"))
            _add(found, name, *point, row, columns)
    if not found:
        raise InputError(f"{place / gpu}: has no ORG/MODEL/mlp.csv; allowed: Vidur's tables.")
    return found


def _read_medians(file: Path, gpu: str) -> Layers:
    found: Layers = {}
    columns = tuple(f"{name}_ms" for name in OPERATORS)
    rows = csv_rows(file, ("gpu", "model", "num_tokens", "tp", *columns))
    for row in rows:
        if row["gpu"] == gpu:
            point = (row.whole("tp"), row.whole("num_tokens"))
            _add(found, row["model"], *point, row, columns)
    if not found:
        raise InputError(f"--gpu is {gpu}; allowed: {', '.join(sorted({row['gpu'] for row in rows}))}.")
    return found


def _add(found: Layers, model: str, degree: int, tokens: int, row: Row, columns: Sequence[str]) -> None:
    seconds = 1e-3 * math.fsum(row.positive(column) for column in columns)
    found.setdefault((model, degree), {}).setdefault(tokens, []).append(seconds)


def _catalog_name(name: str) -> str | None:
    """The catalog's name of a model as the tables call it; None where the catalog lacks it."""
    short = name.rpartition("/")[2]
    for guess in (name, short, short.removesuffix("-hf")):
        try:
            return catalog_model(guess).name
        except InputError:
            continue
    return None


def _measured(terms: ModelTerms, points: Points) -> ModelTerms:
    """The dense term of the tables in place of the datasheet's."""
    tokens = np.asarray(sorted(points), dtype=np.float64)
    one = np.asarray([float(np.median(points[int(count)])) for count in tokens])
    seconds = rising(terms.model.layers * one)
    keep = knots(tokens, seconds, error=CURVE_ERROR)
    dense = Curve(
        origin=Origin.MEASURED,
        source=f"{ORIGIN}, mlp operators, {len(tokens)} token counts",
        licence=LICENCE,
        interval=_INTERVAL,
        x=floats(tokens[keep]),
        y_s=floats(seconds[keep]),
    )
    return terms.model_copy(update={"dense": dense})
