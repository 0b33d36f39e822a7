"""Reading YAML that a stranger wrote: safe, small, without doubles or references, with line numbers."""

from __future__ import annotations

import re
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from advisor.errors import InputError
from advisor.files import read_bytes

MAX_BYTES: Final = 2**20  # a scenario has some thousands; 100,000 adapter shares fit
_MAX_DEPTH: Final = 50
_MAX_NODES: Final = 300_000

if TYPE_CHECKING:
    from yaml import SafeLoader as _Loader
else:
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # C, if the wheel has it


class _StrictLoader(_Loader):
    """A safe loader that refuses a key given twice, and reads 1e3 as a number, as YAML 1.2 does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(None, None, "a key must be plain text", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    None, None, f"the key {key!r:.60} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class _Writer(yaml.SafeDumper):
    """Writes text so that it reads back equal; PyYAML folds Unicode's own line breaks unless quoted."""


def _written_text(writer: _Writer, text: str) -> yaml.ScalarNode:
    style = '"' if any(not character.isprintable() for character in text) else None
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _written_text)
for _class in (_StrictLoader, _Writer):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def write_mapping(raw: dict[str, Any]) -> str:
    """Return YAML in the order given, which `parse_mapping` reads back equal."""
    return yaml.dump(raw, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=100)


def read_source(path: str | Path) -> tuple[str, str]:
    """Return the text of a file, or of standard input for "-", and the name to use for it in messages.

    Raises:
        InputError: missing, empty, not text, or larger than 1 MiB.
    """
    if str(path) != "-":
        return _decoded(read_bytes(path, max_bytes=MAX_BYTES), str(path)), str(path)
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise InputError(f"standard input: holds more than {MAX_BYTES:,} bytes. Cut it down.")
    if not content.strip():
        raise InputError("standard input: is empty; allowed: a YAML mapping.")
    return _decoded(content, "standard input"), "standard input"


def parse_mapping(text: str, source: str) -> dict[str, Any]:
    """Return the mapping that a YAML text holds.

    Raises:
        InputError: not YAML, not one mapping, a key given twice, an alias, a tag, or too deep or large.
    """
    try:
        _check_size(text, source)
        raw = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a safe loader's child
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = (error.problem or error.context or "").removeprefix("but ")
        raise InputError(f"{source}: {where}not valid YAML: {said}.") from None
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not valid YAML: {' '.join(str(error).split())}.") from None
    except (ValueError, OverflowError) as error:  # a date such as 2025-99-99, a number of a million digits
        raise InputError(
            f"{source}: holds a value that cannot be read: {str(error).split(';')[0]}."
        ) from None
    if not isinstance(raw, dict):
        raise InputError(
            f"{source}: holds {_kind(raw)}; allowed: a mapping of fields, one `field: value` a line."
        )
    return raw


def lines_of(text: str) -> dict[tuple[str | int, ...], int]:
    """Return the line (from 1) of each key and item of a YAML text that `parse_mapping` took."""
    lines: dict[tuple[str | int, ...], int] = {}

    def walk(node: yaml.Node, path: tuple[str | int, ...]) -> None:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                lines[inner] = key.start_mark.line + 1
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                walk(item, (*path, index))

    root = yaml.compose(text, Loader=_StrictLoader)
    if root is not None:
        walk(root, ())
    return lines


def _check_size(text: str, source: str) -> None:
    """Refuse what would blow up, in one pass over the parser's events, before anything is built."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise InputError(
                f"{source}: line {line}: *{event.anchor} stands for another value. Write it out."
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise InputError(f"{source}: line {line}: is nested deeper than {_MAX_DEPTH} levels. Flatten it.")
        if count > _MAX_NODES:
            raise InputError(f"{source}: line {line}: holds more than {_MAX_NODES:,} values. Cut it down.")


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source}: is not UTF-8 text (byte {error.start}); allowed: a YAML text file."
        ) from None


def _kind(raw: object) -> str:
    if raw is None:
        return "nothing but comments"
    return "a list" if isinstance(raw, list) else f"the single value {raw!r:.60}"
