"""The trace formats that we know, as data: which of a file's columns holds what."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from advisor.errors import InputError

FormatName = Literal["auto", "azure", "mooncake", "burstgpt", "vidur", "splitwise", "plain"]

COLUMNS: Final = (
    "arrival_s",
    "arrival_ms",
    "prompt_tokens",
    "output_tokens",
    "adapter",
    "priority",
    "prefix_hashes",
    "prefix_block_tokens",
)
"""Our column names; `arrival_ms` stands in for `arrival_s` where a file counts milliseconds."""


@dataclass(frozen=True, slots=True)
class Format:
    """One published format.

    Attributes:
        name: as `--format` takes it.
        columns: our column name to the file's.
        zero_output: what an output of 0 tokens means there, said of the rows that are left out.
        block_tokens: tokens of a prefix block, where the format fixes it.
    """

    name: str
    columns: Mapping[str, str]
    zero_output: str = "output_tokens is below 1"
    block_tokens: int | None = None


_PLAIN: Final = Format("plain", {name: name for name in COLUMNS})
FORMATS: Final = (
    Format(
        "azure",
        {"arrival_s": "TIMESTAMP", "prompt_tokens": "ContextTokens", "output_tokens": "GeneratedTokens"},
    ),
    Format(
        "mooncake",
        {
            "arrival_ms": "timestamp",
            "prompt_tokens": "input_length",
            "output_tokens": "output_length",
            "prefix_hashes": "hash_ids",
        },
        block_tokens=512,
    ),
    Format(
        "burstgpt",
        {"arrival_s": "Timestamp", "prompt_tokens": "Request tokens", "output_tokens": "Response tokens"},
        zero_output="failed request (0 response tokens)",
    ),
    Format(
        "vidur",
        {
            "arrival_s": "arrived_at",
            "prompt_tokens": "num_prefill_tokens",
            "output_tokens": "num_decode_tokens",
        },
    ),
    Format(
        "splitwise",
        {"arrival_s": "arrival_timestamp", "prompt_tokens": "prompt_size", "output_tokens": "token_size"},
    ),
    _PLAIN,
)
_OPTIONAL: Final = frozenset({"adapter", "priority", "prefix_hashes", "prefix_block_tokens"})
_ARRIVALS: Final = ("arrival_s", "arrival_ms")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each of our columns lies in one file."""

    format: Format
    columns: Mapping[str, str]

    @property
    def arrival(self) -> str:
        """`arrival_s` or `arrival_ms`, whichever the file has."""
        return next(name for name in _ARRIVALS if name in self.columns)


def layout_of(header: Sequence[str], name: str, mapped: Mapping[str, str], source: str) -> Layout:
    """Find the format and the place of each column.

    Args:
        header: the file's column names (or keys).
        name: a format's name, or "auto" to recognise it by the header.
        mapped: our column name to the file's, over what the format says.
        source: the file, as the user knows it.

    Raises:
        InputError: an unknown format or column, a column given twice, or no format that fits.
    """
    _check_names(header, name, mapped, source)
    known = {_folded(column): column for column in header}
    candidates = [form for form in FORMATS if name in ("auto", form.name)]
    layouts = [Layout(form, _found(form, known, mapped)) for form in candidates]
    fitting = [layout for layout in layouts if not _missing(layout.columns)]
    if fitting:
        return fitting[0]
    nearest = min(layouts, key=lambda layout: len(_missing(layout.columns)))
    raise InputError(_lacks(nearest, header, source))


def _check_names(header: Sequence[str], name: str, mapped: Mapping[str, str], source: str) -> None:
    names = ("auto", *(form.name for form in FORMATS))
    if name not in names:
        raise InputError(
            f"format is {name!r}; allowed: one of {', '.join(names)}.{_did_you_mean(name, names)}"
        )
    twice = sorted({column for column in header if list(header).count(column) > 1})
    if twice:
        raise InputError(f"{source}: has the column {twice[0]!r} more than once. Rename or drop one.")
    for ours, theirs in mapped.items():
        if ours not in COLUMNS:
            allowed = ", ".join(COLUMNS)
            raise InputError(
                f"columns: no such column {ours!r}; known: {allowed}.{_did_you_mean(ours, COLUMNS)}"
            )
        if theirs not in header:
            raise InputError(
                f"{source}: has no column {theirs!r} (mapped to {ours}); it has {_listed(header)}."
                f"{_did_you_mean(theirs, header)}"
            )


def _found(form: Format, known: Mapping[str, str], mapped: Mapping[str, str]) -> dict[str, str]:
    columns = {
        ours: known[_folded(theirs)] for ours, theirs in form.columns.items() if _folded(theirs) in known
    }
    if any(name in mapped for name in _ARRIVALS):
        columns = {ours: theirs for ours, theirs in columns.items() if ours not in _ARRIVALS}
    for ours in sorted(_OPTIONAL):  # an adapter column is the same word in every format
        if ours in known:
            columns.setdefault(ours, known[ours])
    return {**columns, **mapped}


def _missing(columns: Mapping[str, str]) -> list[str]:
    needed = ["prompt_tokens", "output_tokens"]
    return [
        *([] if any(name in columns for name in _ARRIVALS) else ["arrival_s"]),
        *(n for n in needed if n not in columns),
    ]


def _lacks(nearest: Layout, header: Sequence[str], source: str) -> str:
    missing = _missing(nearest.columns)
    wanted = [nearest.format.columns.get(name, name) for name in missing]
    hint = _did_you_mean(wanted[0], header)
    return (
        f"{source}: has no column for {', '.join(missing)} (as {nearest.format.name} format: "
        f"{', '.join(wanted)}); it has {_listed(header)}.{hint} "
        f"Map other names, such as {missing[0]}=YOUR_COLUMN."
    )


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def _listed(header: Sequence[str]) -> str:
    shown = ", ".join(f"{column:.40}" for column in header[:12])
    return shown + (f" and {len(header) - 12} more" if len(header) > 12 else "")


def _folded(column: str) -> str:
    return column.strip().lower()
