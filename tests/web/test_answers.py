from __future__ import annotations

from advisor.web.answers import Answers, key_of
from advisor.web.question import read_question
from tests.faces.example import example
from tests.web.minimal import MINIMAL


def test_the_least_recently_used_is_dropped() -> None:
    store = Answers(kept=2)
    a, b, c = (read_question(MINIMAL.replace("small", name), None) for name in "abc")
    store.put(a, example())
    store.put(b, example())
    assert store.find(a) is not None
    store.put(c, example())
    assert [store.find(one) is not None for one in (a, b, c)] == [True, False, True]


def test_comments_do_not_make_another_question() -> None:
    assert key_of(read_question(MINIMAL, None)) == key_of(read_question("# hello\n" + MINIMAL, None))


def test_another_seed_makes_another_question() -> None:
    assert key_of(read_question(MINIMAL, None)) != key_of(read_question(MINIMAL + "seed: 3\n", None))
