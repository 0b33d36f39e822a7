"""What `advisor` reads: scenarios, studies, the spec's models, traces, profiles, answers, the web's input."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from advisor.catalog import tables
from advisor.catalog.compatibility import Rule
from advisor.catalog.hardware import DeviceRow
from advisor.cli.options import read_answer
from advisor.held import held_of
from advisor.profile import load_profile
from advisor.replayed import load_replay
from advisor.spec.engine import EngineCapability
from advisor.spec.huggingface import model_from_config
from advisor.spec.mergecheck import load_merge_check
from advisor.spec.peft import adapter_from_folder
from advisor.spec.scenario import load_scenario
from advisor.study.grid import load_study
from advisor.trace.fitted import load_fitted
from advisor.trace.readers import load_trace
from advisor.web.address import packed, unpacked
from advisor.web.question import Opened, read_question
from advisor.web.uploads import keep
from tests.fuzz import seeds
from tests.fuzz.forms import FORMS
from tests.fuzz.models import good_models, read_models
from tests.fuzz.replays import replay_columns, replay_of
from tests.fuzz.seeds import as_json, as_lines
from tests.fuzz.target import Target, in_file, of_json


def _yaml(*values: Any) -> Callable[[], list[bytes]]:
    return lambda: [FORMS["yaml"].write(value) for value in values]


def _json(*values: Any) -> Callable[[], list[bytes]]:
    return lambda: [as_json(value) for value in values]


def _packed(content: bytes, folder: Path) -> object:
    return in_file(load_trace, "t.csv.gz")(gzip.compress(content, 1, mtime=0), folder)


def _columns(value: Any, folder: Path) -> object:
    """A trace in Parquet, of columns as in {"arrival_s": [0, 1], ...}."""
    try:
        content = seeds.parquet(value)
    except Exception:  # noqa: BLE001 - not every data makes a table
        return None
    return in_file(load_trace, "t.parquet")(content, folder)


def _address(content: bytes, _: Path) -> object:
    return unpacked(content.decode("latin-1"))


def _visitor(content: bytes, folder: Path) -> object:
    """A scenario through an address into a question, as a visitor's link goes."""
    code = packed(content.decode("utf-8", "replace"))
    return None if code is None else read_question(unpacked(code), Opened(folder, all_files=True))


def _upload(content: bytes, folder: Path) -> object:
    """The browser's name for the file in the first line, then what it holds."""
    name, _, rest = content.partition(b"\n")
    upload = keep(rest, name.decode("utf-8", "replace"), folder)
    path = folder / upload.path
    assert path.resolve().parent == (folder / "uploads").resolve(), "an upload outside its folder"
    try:
        return load_trace(path)
    finally:
        path.unlink()


def _catalog(name: str, row: type[Any]) -> Callable[[bytes, Path], object]:
    """A user's catalog file; read without the cache that is keyed by time."""

    def read(content: bytes, folder: Path) -> object:
        file = folder / name
        file.write_bytes(content)
        return tables._read.__wrapped__(file, 0, row)

    return read


def _shipped(name: str) -> Callable[[], list[bytes]]:
    return lambda: [b"\n".join((_CATALOG / name).read_bytes().splitlines()[:4])]


def _fitted(file: Path) -> object:
    return load_fitted(file.name, file.parent)


def _adapter(file: Path) -> object:
    return adapter_from_folder(file.parent)


def _answer(file: Path) -> object:
    return read_answer(str(file))


def _held(value: Any, _: Path) -> object:
    return held_of(value, "the comparison") if isinstance(value, dict) else None


def _some(name: str, count: int) -> Callable[[], list[bytes]]:
    def good() -> list[bytes]:
        whole = json.loads((_CATALOG / name).read_text(encoding="utf-8"))
        return [as_json({k: v if k == "schema_version" else v[:count] for k, v in whole.items()})]

    return good


_CATALOG: Final = seeds.ROOT / "advisor" / "catalog" / "data"
_COMPARED: Final[dict[str, Any]] = {
    "schema_version": 1,
    "runs": [
        {
            "measured": {"name": "a"},
            "cells": [{"figure": "TTFT", "unit": "s", "measured": 1.0, "predicted": 1.1}],
        }
    ],
}

SPEC: Final = [
    Target(
        "scenario",
        in_file(load_scenario, "s.yaml"),
        lambda: [seeds.SCENARIO.read_bytes(), *_yaml(seeds.GENERATOR, seeds.STREAMS, seeds.TRACE_FILE)()],
        "yaml",
    ),
    Target("study", in_file(load_study, "study.yaml"), _yaml(seeds.STUDY), "yaml"),
    Target("models of advisor/spec", of_json(read_models), good_models, "json"),
    Target("config.json of a model", in_file(model_from_config, "config.json"), _json(seeds.LLAMA), "json"),
    Target("adapter folder", in_file(_adapter, "adapter_config.json"), _json(seeds.ADAPTER), "json"),
    Target("merge check", in_file(load_merge_check, "m.json"), _json(seeds.MERGE_CHECK), "json"),
    Target("catalog of devices", _catalog("devices.csv", DeviceRow), _shipped("devices.csv"), "csv"),
    Target(
        "catalog of engines",
        _catalog("engines.json", EngineCapability),
        _some("engines.json", 1),
        "json",
    ),
    Target(
        "catalog of rules",
        _catalog("compatibility.json", Rule),
        _some("compatibility.json", 3),
        "json",
    ),
]
TRACES: Final = [
    Target("trace in CSV", in_file(load_trace, "t.csv"), lambda: [seeds.CSV, seeds.AZURE], "csv"),
    Target(
        "trace in JSONL",
        in_file(load_trace, "t.jsonl"),
        lambda: [as_lines(rows) for rows in (seeds.TRACE, seeds.MOONCAKE, seeds.PREFIXES)],
        "lines",
    ),
    Target(
        "trace in Parquet, bytes", in_file(load_trace, "t.parquet"), lambda: [seeds.parquet(seeds.COLUMNS)]
    ),
    Target("trace in Parquet, columns", of_json(_columns), _json(seeds.COLUMNS), "json"),
    Target("trace in gzip, bytes", in_file(load_trace, "t.csv.gz"), lambda: [seeds.gzipped(seeds.CSV)]),
    Target("trace in gzip, lines", _packed, lambda: [seeds.CSV], "csv"),
    Target("fitted workload", in_file(_fitted, "w.json"), lambda: [seeds.fitted()], "json"),
]
ANSWERS: Final = [
    Target("profile", in_file(load_profile, "p.json"), lambda: [seeds.profile()], "json"),
    Target("recommendation", in_file(_answer, "a.json"), lambda: [seeds.recommendation()], "json"),
    Target("replay result, bytes", in_file(load_replay, "r.parquet"), lambda: [seeds.REPLAY.read_bytes()]),
    Target("replay result, header and columns", of_json(replay_of), replay_columns, "json"),
    Target("comparison", of_json(_held), _json(_COMPARED), "json"),
]
WEB: Final = [
    Target("address, bytes", _address, lambda: [str(packed(seeds.SCENARIO.read_text())).encode()]),
    Target("scenario in an address", _visitor, _yaml(seeds.GENERATOR, seeds.TRACE_FILE), "yaml"),
    Target("upload", _upload, lambda: [b"t.csv\n" + seeds.CSV, b"t.jsonl\n" + as_lines(seeds.TRACE)]),
]
