"""Raw samples in a file: one JSON line each, appended as they come, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from advisor.errors import InputError

Key = tuple[str, tuple[tuple[str, float], ...]]


class Samples:
    """Seconds by operation and parameters. The file's first line says of what they are."""

    def __init__(self, path: Path | None, fingerprint: dict[str, Any], *, resume: bool = False) -> None:
        """Raises InputError: the file cannot be read, or holds samples of something else."""
        self.path = path
        self.fingerprint = fingerprint
        self._seconds: dict[Key, list[float]] = defaultdict(list)
        self.steps: list[dict[str, Any]] = []
        if path is None:
            return
        if resume and path.exists():
            self._read(path, fingerprint)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"fingerprint": fingerprint}) + "\n", encoding="utf-8")

    def add(self, operation: str, parameters: dict[str, float], seconds: float) -> None:
        """Remember one sample."""
        self._seconds[_key(operation, parameters)].append(seconds)
        self._append({"op": operation, **parameters, "s": seconds})

    def add_steps(self, name: str, steps: list[dict[str, Any]]) -> None:
        """Remember the steps of one run of an engine."""
        self.steps += [{**step, "run": name} for step in steps]
        self._append({"run": name, "steps": steps})

    def has_run(self, name: str) -> bool:
        """Whether the steps of this run are known."""
        return any(step["run"] == name for step in self.steps)

    def count(self, operation: str, parameters: dict[str, float]) -> int:
        """Samples of a point."""
        return len(self._seconds.get(_key(operation, parameters), ()))

    def of(self, operation: str) -> list[tuple[dict[str, float], list[float]]]:
        """(parameters, samples) of all points of an operation."""
        return [(dict(key[1]), values) for key, values in self._seconds.items() if key[0] == operation]

    @property
    def operations(self) -> set[str]:
        """Operations that have samples."""
        return {operation for operation, _ in self._seconds}

    def _append(self, record: dict[str, Any]) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def _read(self, path: Path, fingerprint: dict[str, Any]) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        records = []
        for number, line in enumerate(lines):
            try:
                records.append(json.loads(line))
            except ValueError:
                if number < len(lines) - 1:
                    sentence = f"{path}: line {number + 1} is no JSON. Start anew without --resume."
                    raise InputError(sentence) from None
        found = records[0].get("fingerprint") if records else None
        if found != fingerprint:
            raise InputError(
                f"{path}: holds samples of {_short(found)}; allowed with --resume: of {_short(fingerprint)}. "
                "Start anew without --resume."
            )
        for record in records[1:]:
            if "steps" in record:
                self.steps += [{**step, "run": record["run"]} for step in record["steps"]]
            else:
                seconds, operation = record.pop("s"), record.pop("op")
                self._seconds[_key(operation, record)].append(seconds)
        path.write_text("".join(json.dumps(r) + "\n" for r in _whole(path)), encoding="utf-8")


def _whole(path: Path) -> list[Any]:
    """All lines but one that was cut off."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def _key(operation: str, parameters: dict[str, float]) -> Key:
    return operation, tuple(sorted((name, float(value)) for name, value in parameters.items()))


def _short(fingerprint: Any) -> str:
    return json.dumps(fingerprint)[:160] if fingerprint else "nothing known"
