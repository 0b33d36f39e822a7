"""How the content of a file is taken apart, so that it can be changed where a parser lets it through."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml

FormName = Literal["bytes", "json", "lines", "yaml", "csv"]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Writer(yaml.SafeDumper):
    """Writes what stands in two places twice, as readers refuse aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _FastWriter(_Dumper):  # type: ignore[misc]
    """The same in C, which has no bytes for half characters."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Form:
    """`parse` raises whatever it likes on content that is not of the form; `write` takes any plain data."""

    parse: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def _json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


def _lines(content: bytes) -> list[Any]:
    return [json.loads(line) for line in content.splitlines()]


def _as_lines(value: Any) -> bytes:
    return b"\n".join(map(_json, value if isinstance(value, list) else [value]))


def _yaml(value: Any) -> bytes:
    try:
        text: str = yaml.dump(value, Dumper=_FastWriter, allow_unicode=False, sort_keys=False)
    except UnicodeEncodeError:
        text = yaml.dump(value, Dumper=_Writer, allow_unicode=False, sort_keys=False)
    return text.encode()


def _cells(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def _as_csv(value: Any) -> bytes:
    text = io.StringIO(newline="")
    rows = value if isinstance(value, list) else [value]
    csv.writer(text, lineterminator="\n").writerows(row if isinstance(row, list) else [row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


FORMS: Final[dict[FormName, Form]] = {
    "bytes": Form(bytes, bytes),
    "json": Form(json.loads, _json),
    "lines": Form(_lines, _as_lines),
    "yaml": Form(lambda content: yaml.load(content, Loader=_Loader), _yaml),
    "csv": Form(_cells, _as_csv),
}
