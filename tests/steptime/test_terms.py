"""Terms of a model: as measured, or predicted from the device's other shapes and marked so."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.profile import shipped_profile
from advisor.spec.spec import Origin
from advisor.steptime.terms import terms_for
from tests.profiles import LLAMA_8B, gemm_grid, profile, terms


def test_a_measured_model_is_found_by_its_shape_whatever_its_name() -> None:
    renamed = LLAMA_8B.model_copy(update={"name": "my fine-tune", "source": "elsewhere"})
    assert terms_for(profile(), renamed, 1) == terms()


def test_twice_the_layers_take_twice_the_time_and_are_marked() -> None:
    deep = LLAMA_8B.model_copy(update={"name": "deep", "layers": 64})
    found, measured = terms_for(profile(gemm=(gemm_grid(),)), deep, 1), terms()
    np.testing.assert_allclose(found.dense.y_s, 2 * np.asarray(measured.dense.y_s))
    np.testing.assert_allclose(found.head.y_s, measured.head.y_s)
    np.testing.assert_allclose(found.attn_prefill.seconds, 2 * np.asarray(measured.attn_prefill.seconds))
    np.testing.assert_allclose(
        found.attn_decode.per_context_token_s, 2 * np.asarray(measured.attn_decode.per_context_token_s)
    )
    assert found.dense.origin is Origin.EXTRAPOLATED
    assert "llama-3.1-8b" in found.dense.source
    assert found.lora is not None
    assert measured.lora is not None
    assert found.lora.fixed_s == pytest.approx(2 * measured.lora.fixed_s)
    assert found.lora.origin is Origin.ESTIMATED


def test_what_is_predicted_from_a_datasheet_stays_a_datasheets_and_is_less_sure_still() -> None:
    one = shipped_profile("l4-vllm-datasheet")
    known = terms_for(one, model("Llama-3.1-8B"), 1)
    other = terms_for(one, model("Llama-3.1-8B").model_copy(update={"name": "short", "layers": 20}), 1)
    for name in ("dense", "head", "attn_prefill", "attn_decode"):
        mine, before = getattr(other, name), getattr(known, name)
        assert mine.origin is Origin.DATASHEET
        assert mine.interval[0] < before.interval[0]
        assert mine.interval[1] > before.interval[1]
    assert other.dense.y_s[0] < known.dense.y_s[0]


def test_fewer_kv_heads_read_less_cache() -> None:
    wide = LLAMA_8B.model_copy(update={"name": "wide", "kv_heads": 32})
    found = terms_for(profile(gemm=(gemm_grid(),)), wide, 1)
    np.testing.assert_allclose(
        found.attn_decode.per_context_token_s, 4 * np.asarray(terms().attn_decode.per_context_token_s)
    )


def test_nothing_to_predict_from_is_said() -> None:
    deep = LLAMA_8B.model_copy(update={"name": "deep", "layers": 64})
    with pytest.raises(InputError, match=r"no terms for deep at tensor parallel 1.*llama-3\.1-8b"):
        terms_for(profile(), deep, 1)


def test_a_degree_that_does_not_divide_the_heads_is_refused() -> None:
    with pytest.raises(InputError, match="divisor"):
        terms_for(profile(), LLAMA_8B, 3)
