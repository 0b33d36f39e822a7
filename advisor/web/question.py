"""A scenario from a browser: read from text, and kept from reading files that are not opened to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from advisor.errors import InputError
from advisor.problem import Problem
from advisor.spec.adapter import AdapterFolders
from advisor.spec.scenario import Scenario, scenario_from_text
from advisor.spec.workload import FittedWorkload, TraceFile

VARIABLE: Final = "LORA_ADVISOR_WORKSPACE"
UPLOADS: Final = "uploads"
SOURCE: Final = "scenario"


@dataclass(frozen=True, slots=True)
class Question:
    """A scenario that may be answered, the folder where its relative paths start, and draws to be sure."""

    scenario: Scenario
    folder: Path
    sure: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """The folder where relative paths of a visitor's scenario start.

    Attributes:
        folder: the operator's workspace, or one that holds nothing but uploads.
        all_files: the operator opened it: any file inside may be named; otherwise uploads alone.
    """

    folder: Path
    all_files: bool


def workspace() -> Path | None:
    """The folder that the operator opened to scenarios from the browser; None: no file may be named."""
    given = os.environ.get(VARIABLE)
    return Path(given).resolve() if given else None


def read_question(text: str, opened: Opened) -> Question:
    """Read a scenario from the text of a form or an upload.

    Args:
        text: YAML.
        opened: the folder that it may name files of.

    Raises:
        InputError: every fault with its line; or a path outside the operator's folder.
    """
    scenario = scenario_from_text(text, SOURCE)
    problems = [
        p for p in (_outside(field, path, opened) for field, path in _paths(scenario)) if p is not None
    ]
    if problems:
        raise InputError(problems)
    return Question(scenario, opened.folder)


@dataclass(frozen=True, slots=True)
class _Named:
    """What a scenario names: a file or folder for certain, or a name that may turn out to be one."""

    text: str
    is_file: bool


def _paths(scenario: Scenario) -> Iterator[tuple[str, _Named]]:
    yield "model", _Named(scenario.model, scenario.model.endswith(".json"))
    work = scenario.workload
    if isinstance(work, TraceFile):
        yield "workload.path", _Named(work.path, True)
    if isinstance(work, FittedWorkload):
        for field, name in (("workload.name", work.name), ("workload.tenants", work.tenants)):
            if name is not None:
                yield field, _Named(name, name.endswith(".json"))
    if isinstance(scenario.adapters, AdapterFolders):
        for index, path in enumerate(scenario.adapters.paths):
            yield f"adapters.paths[{index}]", _Named(path, True)


def _outside(field: str, named: _Named, opened: Opened) -> Problem | None:
    """What is wrong with a path of the browser's scenario; None if nothing is."""
    root = opened.folder.resolve()
    path = root
    try:
        path = (root / Path(named.text).expanduser()).resolve()
        inside = path.is_relative_to(root)
        upload = path.is_relative_to(root / UPLOADS)
    except (OSError, RuntimeError, ValueError):  # a loop of links, an unknown user's home, a NUL in the name
        inside = upload = False
    if upload and field == "workload.path" and not path.is_file():
        allowed = "a trace that was uploaded to this server and is still there"
        return Problem(SOURCE, field, named.text, allowed, "Upload it again.")
    if inside and (opened.all_files or not named.is_file or upload):
        return None
    if opened.all_files:
        allowed = "a path inside the folder that this app was started with"
    else:
        allowed = (
            "a name of the catalog, or an uploaded trace; this app was started without a folder of files"
        )
    mend = "Start the app with --workspace DIR, or use the command line for files of your own."
    return Problem(source=SOURCE, field=field, value=named.text, allowed=allowed, mend=mend)
