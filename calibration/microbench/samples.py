"""Raw samples in a file: one JSON line each, appended as they come, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from advisor.errors import InputError
from advisor.files import write_text

Key = tuple[str, tuple[tuple[str, float], ...]]
_STEP_FIELDS: Final = frozenset(
    ("decodes", "context", "chunks", "outputs", "gamma", "adapters", "s", "draft_s", "drafted")
)


class Samples:
    """Seconds by operation and parameters. The file's first line says of what they are."""

    def __init__(
        self, path: Path | None, fingerprint: dict[str, Any], *, resume: bool = False, force: bool = False
    ) -> None:
        """Start a file, or go on with one.

        Args:
            path: of the file; None keeps samples in memory alone.
            fingerprint: of what they are.
            resume: go on with the file where there is one.
            force: overwrite a file that exists.

        Raises:
            InputError: the file exists without resume and force, is damaged, or holds samples of something
                else.
        """
        self.path = path
        self.fingerprint = fingerprint
        self._seconds: dict[Key, list[float]] = defaultdict(list)
        self.steps: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        if path is None:
            return
        if path.exists() and resume:
            self._resume(path)
            return
        if path.exists() and not force:
            raise InputError(f"{path}: exists; add --resume to go on with it, --force to start again.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"fingerprint": fingerprint}) + "\n")

    @classmethod
    def read(cls, path: Path) -> Samples:
        """The samples of a file, which stays as it is; what is added later is not written.

        Raises:
            InputError: the file is damaged.
        """
        records, _ = _records(path)
        samples = cls(None, records[0]["fingerprint"])
        samples._take(path, records)
        return samples

    def add(self, operation: str, parameters: dict[str, float], seconds: float) -> None:
        """Remember one sample."""
        self._seconds[_key(operation, parameters)].append(seconds)
        self._append({"op": operation, **parameters, "s": seconds})

    def add_steps(self, name: str, steps: list[dict[str, Any]]) -> None:
        """Remember the steps of one run of an engine."""
        self.steps += [{**step, "run": name} for step in steps]
        self._append({"run": name, "steps": steps})

    def set_fact(self, name: str, value: float | str) -> None:
        """Remember what is no sample, such as how long a part has been measured; the last value counts."""
        self.facts[name] = value
        self._append({"fact": name, "value": value})

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

    def _resume(self, path: Path) -> None:
        records, whole = _records(path)
        found = records[0]["fingerprint"]
        for field in sorted({*found, *self.fingerprint}):
            was, now = found.get(field), self.fingerprint.get(field)
            if was != now:
                raise InputError(
                    f"{path}: {field} is {_short(was)}; allowed with --resume: {_short(now)}, as asked for. "
                    "Start again with --force."
                )
        self._take(path, records)
        if not whole:
            write_text(path, "".join(json.dumps(record) + "\n" for record in records))

    def _take(self, path: Path, records: list[dict[str, Any]]) -> None:
        for number, record in enumerate(records[1:], 2):
            try:
                self._take_one(record)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                raise InputError(
                    f"{path}: line {number} is {_short(record)}; allowed: a sample, steps or a fact. "
                    "Calibrate again with --force."
                ) from None

    def _take_one(self, record: dict[str, Any]) -> None:
        if "steps" in record:
            steps = [{**step, "run": str(record["run"])} for step in record["steps"]]
            if any(not step.keys() >= _STEP_FIELDS for step in steps):
                raise KeyError("steps")
            self.steps += steps
        elif "fact" in record:
            self.facts[record["fact"]] = record["value"]
        else:
            parameters = {name: value for name, value in record.items() if name not in ("op", "s")}
            key = _key(str(record["op"]), parameters)
            self._seconds[key].append(_positive(record["s"]))


def _positive(value: Any) -> float:
    if not float(value) >= 0:
        raise ValueError(value)
    return float(value)


def _records(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """All lines but a last one that was cut off, and whether there was none such."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}. Calibrate again with --force.") from None
    lines = text.splitlines()
    records: list[dict[str, Any]] = []
    whole = text.endswith("\n")
    for number, line in enumerate(lines, 1):
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            if number < len(lines) or number == 1:
                sentence = f"{path}: line {number} is no JSON; allowed: a JSON object a line."
                raise InputError(f"{sentence} Calibrate again with --force.") from None
            whole = False
    first = records[0] if records else None
    if not isinstance(first, dict) or not isinstance(first.get("fingerprint"), dict):
        raise InputError(
            f"{path}: its first line has no fingerprint; allowed: samples of `calibrate run`. "
            "Calibrate again with --force."
        )
    return records, whole


def _key(operation: str, parameters: dict[str, float]) -> Key:
    return operation, tuple(sorted((name, float(value)) for name, value in parameters.items()))


def _short(value: Any) -> str:
    said = json.dumps(value)
    return said if len(said) <= 80 else f"{said[:77]}..."
