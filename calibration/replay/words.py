"""Prompts as words, for servers that take no token ids: as many words as make the tokens that are wanted.

Words are common ones, drawn by the token ids that the server would have been sent, so equal prefixes stay
equal. How many tokens a word makes is asked of a tokenizer file, or else measured on the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from advisor.errors import InputError, MeasurementError
from advisor.trace.trace import BASE, Trace
from calibration.replay.client import Target, replay_url

_COMMON: Final = (
    "time year people way day man thing woman life child world school state family student group country "
    "problem hand part place case week company system program question work government number night "
    "point home water room mother area money story fact month lot right study book eye job word business "
    "issue side kind head house service friend father power hour game line end member law car city "
    "community name president team minute idea body information back parent face level office door "
    "health person art war history party result change morning reason research girl guy moment air "
    "teacher force education"
)
WORDS: Final = tuple(_COMMON.split())
_PROBE: Final = (16, 272)  # words of the two measured prompts


@dataclass(frozen=True, slots=True)
class WordCost:
    """Tokens of a prompt of n words: extra + per_word · n."""

    per_word: float
    extra: float
    source: str

    def words_for(self, tokens: int) -> int:
        """Words that come nearest to so many tokens; at least one."""
        return max(1, round((tokens - self.extra) / self.per_word))


def texts(ids: Sequence[list[int]], cost: WordCost) -> list[str]:
    """A text a prompt, fitted to the prompt's number of tokens."""
    return [text_of(prompt, cost.words_for(len(prompt))) for prompt in ids]


def text_of(ids: list[int], words: int) -> str:
    """So many words, drawn by the ids; more words than ids go on with ids that follow from the last one."""
    more = [ids[-1] + 7 * step for step in range(1, words - len(ids) + 1)]
    return " ".join(WORDS[token % len(WORDS)] for token in [*ids, *more][:words])


def measured_cost(target: Target) -> WordCost:
    """Two prompts of known words are sent one after the other; the server's usage says their tokens.

    Raises:
        MeasurementError: the server answers neither, or counts in no straight line.
    """
    pair = np.array([1, 1], dtype=np.int64)
    trace = Trace(np.array([0.0, 0.0]), np.array(_PROBE, dtype=np.int64), pair, BASE * pair, (), name="probe")
    rows = asyncio.run(replay_url(target, trace, _probes()))
    few, many = (row.prompt_tokens for row in rows)
    if min(few, many) < 0:
        said = ", ".join(sorted({row.status for row in rows}))
        raise MeasurementError(
            f"{target.url}: does not say how many tokens a prompt has ({said}), so prompts cannot be fitted; "
            "give the model's tokenizer.json with --tokenizer."
        )
    per_word = (many - few) / (_PROBE[1] - _PROBE[0])
    if per_word <= 0:
        raise MeasurementError(
            f"{target.url}: counts {few} and {many} tokens of {_PROBE} words; usage is wrong."
        )
    return WordCost(per_word, few - per_word * _PROBE[0], "measured on the server")


def tokenizer_cost(path: Path) -> WordCost:
    """The same from a tokenizer.json, or a folder with one.

    Raises:
        InputError: no such file, or no tokenizer.
    """
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        load: Callable[[str], Tokenizer] = Tokenizer.from_file
        tokenizer = load(str(file))
    except Exception as error:  # noqa: BLE001 - the package raises plain Exception
        raise InputError(
            f"--tokenizer is {path}; allowed: a tokenizer.json or a folder with one ({error})."
        ) from None
    few, many = (len(tokenizer.encode(text).ids) for text in _probes())
    per_word = (many - few) / (_PROBE[1] - _PROBE[0])
    return WordCost(per_word, few - per_word * _PROBE[0], f"tokenizer {file.name}")


def _probes() -> list[str]:
    draws = np.random.default_rng(0)
    return [text_of(draws.integers(0, 2**31, words).tolist(), words) for words in _PROBE]
