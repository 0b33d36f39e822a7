"""Vidur's tables: both layouts, what is measured and what is not, and tables that cannot be used."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from advisor.errors import InputError
from advisor.profile import load_profile
from advisor.spec.spec import Origin
from calibration.cli import main
from calibration.importers.vidur import MEDIANS, OPERATORS, import_vidur

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKENS = (1, 64, 512, 4096)
MODEL = "meta-llama/Llama-2-7b-hf"


def _operator_ms(tokens: int, degree: int) -> float:
    return (0.02 + 1e-4 * tokens) / degree


def _native(folder: Path) -> Path:
    """Every operator takes the same time; each point was measured twice."""
    file = folder / "compute" / "a40" / MODEL / "mlp.csv"
    file.parent.mkdir(parents=True)
    head = [*(f"time_stats.{name}.median" for name in OPERATORS), "num_tokens", "num_tensor_parallel_workers"]
    lines = [",".join(head)]
    for degree in (1, 2):
        for tokens in TOKENS:
            for factor in (0.9, 1.1):
                times = [factor * _operator_ms(tokens, degree)] * len(OPERATORS)
                lines.append(",".join(map(str, (*times, tokens, degree))))
    file.write_text("\n".join(lines) + "\n")
    return folder


def _medians(folder: Path, *models: str) -> Path:
    lines = [",".join(("gpu", "model", "num_tokens", "tp", *(f"{name}_ms" for name in OPERATORS)))]
    for model in models or (MODEL,):
        for degree in (1, 2):
            for tokens in TOKENS:
                times = [_operator_ms(tokens, degree)] * len(OPERATORS)
                lines.append(",".join(map(str, ("a40", model, tokens, degree, *times))))
    (folder / MEDIANS).write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


@pytest.mark.parametrize("layout", [_native, _medians])
def test_the_dense_term_is_the_sum_of_the_operators(tmp_path: Path, layout: Callable[[Path], Path]) -> None:
    profile = import_vidur(layout(tmp_path), "a40", created=NOW, producer="test")
    assert [(t.model.name, t.tensor_parallel) for t in profile.models] == [
        ("Llama-2-7B", 1),
        ("Llama-2-7B", 2),
    ]
    for terms in profile.models:
        assert terms.dense.x[0] == 1
        assert terms.dense.x[-1] == 4096
        for tokens, seconds in zip(terms.dense.x, terms.dense.y_s, strict=True):
            layer_s = 1e-3 * len(OPERATORS) * _operator_ms(int(tokens), terms.tensor_parallel)
            assert seconds == pytest.approx(32 * layer_s, rel=1e-3)


def test_only_the_dense_term_says_measured(tmp_path: Path) -> None:
    profile = import_vidur(_medians(tmp_path), "a40", created=NOW, producer="test")
    terms = profile.models[0]
    assert (terms.dense.origin, terms.dense.licence) == (Origin.MEASURED, "MIT")
    assert "microsoft/vidur @ 7d47513363ec" in terms.dense.source
    others = [terms.head, terms.attn_prefill, terms.attn_decode, profile.host, profile.memory, *profile.loads]
    assert {term.origin for term in others} == {Origin.DATASHEET}
    assert profile.device.name == "A40"
    assert profile.method == "import"


def test_models_outside_the_catalog_are_left_out_and_said(tmp_path: Path) -> None:
    found = _medians(tmp_path, "Qwen/Qwen-72B", "meta-llama/Meta-Llama-3-8B")
    profile = import_vidur(found, "a40", created=NOW, producer="test")
    assert {t.model.name for t in profile.models} == {"Llama-3-8B"}
    assert any("Left out, not in the catalog: Qwen/Qwen-72B." in note for note in profile.notes)
    with pytest.raises(InputError, match=r"has no model of the catalog for a40; has: .*Qwen/Qwen-72B"):
        import_vidur(found, "a40", created=NOW, producer="test", models=("Qwen/Qwen-72B",))


def test_tables_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has neither vidur_mlp_ops_median\.csv\.gz nor compute/a40"):
        import_vidur(tmp_path, "a40", created=NOW, producer="test")
    _medians(tmp_path)
    with pytest.raises(InputError, match="--gpu is v100; allowed: a40"):
        import_vidur(tmp_path, "v100", created=NOW, producer="test")
    with pytest.raises(InputError, match="--models has x; allowed for a40: meta-llama/Llama-2-7b-hf"):
        import_vidur(tmp_path, "a40", created=NOW, producer="test", models=("x",))
    text = gzip.decompress((tmp_path / MEDIANS).read_bytes()).decode()
    (tmp_path / MEDIANS).write_bytes(gzip.compress(text.replace("0.0201", "-1").encode()))
    with pytest.raises(InputError, match="line 2: input_layernorm_ms is '-1'; allowed: a number above 0"):
        import_vidur(tmp_path, "a40", created=NOW, producer="test")


def test_the_command_writes_a_profile_that_loads(tmp_path: Path) -> None:
    out = tmp_path / "a40.json"
    call = ["import", "vidur", str(_native(tmp_path)), "--gpu", "a40", "--out", str(out)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert load_profile(out).name == "a40"


@pytest.mark.data
@pytest.mark.parametrize(("gpu", "name"), [("a100", "Llama-3-8B"), ("h100", "Llama-2-7B")])
def test_the_real_tables_agree_with_the_other_source(shared_data: Path, gpu: str, name: str) -> None:
    """One decode step's products: two profilers of one GPU, within the interval that the importer states."""
    from advisor.catalog.shapes import model
    from advisor.profile import shipped_profile
    from advisor.steptime.terms import terms_for

    ours = import_vidur(shared_data / "gpu", gpu, created=NOW, producer="test")
    mine = next(t for t in ours.models if t.model.name == name and t.tensor_parallel == 1)
    other = terms_for(shipped_profile(f"{gpu}_sxm-vllm"), model(name), 1)
    assert mine.dense.y_s[0] == pytest.approx(other.dense.y_s[0], rel=0.15)
