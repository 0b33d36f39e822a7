"""Answers by scenario: computed once, kept while there is room."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from advisor.recommendation import Recommendation
    from advisor.web.question import Question

KEPT: Final = 32


class Answers:
    """The latest answers of all visitors, least recently used dropped first."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._found: OrderedDict[str, Recommendation] = OrderedDict()
        self._lock = Lock()

    def find(self, question: Question) -> Recommendation | None:
        """The answer to a question, if it is there."""
        key = key_of(question)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, question: Question, answer: Recommendation) -> None:
        """Keep an answer, and drop the one that was not asked for longest if there are too many."""
        with self._lock:
            self._found[key_of(question)] = answer
            self._found.move_to_end(key_of(question))
            while len(self._found) > self._kept:
                self._found.popitem(last=False)


def key_of(question: Question) -> str:
    """Hash of the scenario as read, so that comments and order do not matter; of its folder and draws."""
    text = f"{question.folder}\n{question.sure}\n{question.scenario.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()
