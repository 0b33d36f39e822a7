from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest

from advisor.catalog.acceptance import Method, Task, acceptance_of, default_acceptance, shifted
from advisor.errors import InputError
from advisor.spec.spec import Origin
from advisor.spec.speculation import Acceptance, Draft

DATASETS: dict[str, Task] = {
    "sharegpt": "chat",
    "cnn": "summarization",
    "gsm8k": "math",
    "instructcoder": "code-edit",
}
METHODS: tuple[Method, ...] = ("eagle3", "ngram")


@pytest.mark.data
@pytest.mark.parametrize("method", METHODS)
def test_tokens_a_step_are_the_published_ones_at_every_draft_length(
    shared_data: Path, method: Method
) -> None:
    checked = 0
    with (shared_data / "spec" / "acceptance_length.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["method"] == method and row["target_model"] == "meta-llama/Llama-3.1-8B-Instruct":
                length = int(row["num_speculative_steps"])
                tokens = default_acceptance(method, DATASETS[row["task"]]).tokens_per_step(length)
                assert tokens == pytest.approx(float(row["acceptance_length"]), abs=2e-6)
                checked += 1
    assert checked == 24


def test_known_values() -> None:
    chat = default_acceptance("eagle3")
    assert chat.tokens_per_step(3) == pytest.approx(2.2542)
    assert chat.origin is Origin.EXTRAPOLATED
    assert "sharegpt" in chat.source
    assert default_acceptance("ngram", "code-edit").tokens_per_step(3) == pytest.approx(2.0277)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", DATASETS.values())
def test_marginals_fall(method: Method, task: Task) -> None:
    marginals = default_acceptance(method, task).marginals
    assert all(a >= b >= 0 for a, b in pairwise(marginals))


@pytest.mark.parametrize(("shift", "factor"), [("light", 0.95), ("domain", 0.7), ("heavy", 0.4)])
def test_a_shift_scales_the_accepted_drafts(shift: str, factor: float) -> None:
    base = default_acceptance("eagle3")
    fine_tuned = shifted(base, "eagle3", shift)  # type: ignore[arg-type]  # the three words above
    assert fine_tuned.tokens_per_step(3) - 1 == pytest.approx(factor * (base.tokens_per_step(3) - 1))
    assert fine_tuned.origin is Origin.ESTIMATED
    assert "assumption" in fine_tuned.source


def test_ngram_does_not_see_the_fine_tune() -> None:
    base = default_acceptance("ngram")
    assert shifted(base, "ngram", "heavy") is base


def test_own_figures_win_and_a_custom_draft_keeps_the_base() -> None:
    mine = Acceptance(marginals=(0.5,))
    yours = Acceptance(marginals=(0.25,))
    assert acceptance_of(Draft(method="eagle3", base_acceptance=mine, adapter_acceptance=yours)) == (
        mine,
        yours,
    )
    assert acceptance_of(Draft(method="eagle3", base_acceptance=mine, custom=True)) == (mine, mine)
    base, adapter = acceptance_of(Draft(method="eagle3", base_acceptance=mine, adapter_shift="heavy"))
    assert (base, adapter.marginals) == (mine, (0.2,))


def test_nothing_is_invented_for_a_draft_model() -> None:
    with pytest.raises(
        InputError, match=r"no published acceptance for draft_model on chat; known: eagle3 on chat"
    ):
        default_acceptance("draft_model")
