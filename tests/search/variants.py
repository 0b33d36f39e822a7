"""Variants of a question, by key."""

from __future__ import annotations

from advisor.deployment import Variant
from advisor.recommendation import Option
from advisor.search.candidates import variants
from advisor.search.question import Question


def variant_of(question: Question, way: str) -> Variant:
    """The variant of a way without speculation on the first device."""
    for item in variants(question):
        if not isinstance(item, Option) and item[0].way == way and item[0].drafting is None:
            return item[0]
    raise AssertionError(f"no variant of {way}")


def plain_variant(question: Question) -> Variant:
    """The base."""
    return variant_of(question, "base")
