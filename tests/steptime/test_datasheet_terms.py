"""Models that a datasheet's profile does not hold, predicted from those that it does."""

from __future__ import annotations

from advisor.catalog.shapes import model
from advisor.profile import shipped_profile
from advisor.spec.spec import Origin
from advisor.steptime.terms import terms_for


def test_what_is_predicted_from_a_datasheet_stays_a_datasheets_and_is_less_sure_still() -> None:
    one, llama = shipped_profile("l4-vllm-datasheet"), model("Llama-3.1-8B")
    known = terms_for(one, llama, 1)
    other = terms_for(one, llama.model_copy(update={"name": "short", "layers": 20}), 1)
    for name in ("dense", "head", "attn_prefill", "attn_decode"):
        mine, before = getattr(other, name), getattr(known, name)
        assert mine.origin is Origin.DATASHEET
        assert mine.interval[0] < before.interval[0]
        assert mine.interval[1] > before.interval[1]
    assert other.dense.y_s[0] < known.dense.y_s[0]
