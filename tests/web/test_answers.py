from __future__ import annotations

from dataclasses import replace

from advisor.web.answers import Answers, key_of
from tests.faces.example import example
from tests.web.minimal import MINIMAL, read


def test_the_least_recently_used_is_dropped() -> None:
    store = Answers(kept=2)
    a, b, c = (read(MINIMAL.replace("small", name)) for name in "abc")
    store.put(a, example())
    store.put(b, example())
    assert store.find(a) is not None
    store.put(c, example())
    assert [store.find(one) is not None for one in (a, b, c)] == [True, False, True]


def test_comments_do_not_make_another_question() -> None:
    assert key_of(read(MINIMAL)) == key_of(read("# hello\n" + MINIMAL))


def test_another_seed_makes_another_question() -> None:
    assert key_of(read(MINIMAL)) != key_of(read(MINIMAL + "seed: 3\n"))


def test_draws_to_be_sure_make_another_question() -> None:
    assert key_of(read(MINIMAL)) != key_of(replace(read(MINIMAL), sure=40))
