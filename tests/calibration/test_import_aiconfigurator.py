"""The importer end to end: on synthetic tables, and on the real package against figures added up by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.catalog.shapes import model
from advisor.errors import InputError
from advisor.profile import Profile, load_profile
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin, WeightsDtype
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from calibration.cli import main
from calibration.importers import aiconfigurator
from calibration.importers.aiconfigurator import import_profile
from calibration.importers.dense import dense_gemms_s
from calibration.importers.gemms import gemm_table
from calibration.importers.lora_gemms import lora_gemms_s
from calibration.importers.tables import Tables
from tests.calibration.synthetic import write_tables

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _import(systems: Path, *models: str) -> Profile:
    return import_profile(
        "h100_sxm",
        "vllm",
        created=NOW,
        producer="test",
        models=models or ("Llama-3.1-8B",),
        folder=str(systems),
    )


def test_every_term_says_where_it_comes_from(systems: Path) -> None:
    profile = _import(systems)
    assert [terms.tensor_parallel for terms in profile.models] == [1, 2, 4, 8]
    for terms in profile.models:
        found = [terms.dense, terms.head, terms.attn_prefill, terms.attn_decode, terms.lora, *terms.drafts]
        assert all(term is not None and term.source and term.licence is not None for term in found)
        assert terms.lora is not None
        assert terms.lora.origin is Origin.ESTIMATED
        assert {draft.method for draft in terms.drafts} == {"ngram", "eagle3"}
    assert profile.gemm[0].weights_dtype == "bfloat16"
    assert profile.device.name == "H100-80-SXM"


def test_weights_that_do_not_fit_leave_their_degrees_out(
    systems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 GB of 86: at a share of 0.1 one device is too small, two are not; at 0.01 none is left."""
    monkeypatch.setattr(aiconfigurator, "_WEIGHTS_SHARE", 0.1)
    assert [terms.tensor_parallel for terms in _import(systems).models] == [2, 4, 8]
    monkeypatch.setattr(aiconfigurator, "_WEIGHTS_SHARE", 0.01)
    with pytest.raises(InputError, match="none of the models fits"):
        _import(systems)


def test_heads_without_a_table_are_said(systems: Path) -> None:
    with pytest.raises(InputError, match="no attention of 32 heads over 4 KV heads"):
        _import(systems, "Llama-3.3-70B")


def test_a_model_that_is_not_in_the_catalog_is_refused(systems: Path) -> None:
    with pytest.raises(InputError, match="did you mean"):
        _import(systems, "Lama-3.1-8B")


def test_an_engine_without_tables_is_refused_with_what_there_is(systems: Path) -> None:
    with pytest.raises(InputError, match="--engine is sglang; allowed for h100_sxm: vllm"):
        import_profile("h100_sxm", "sglang", created=NOW, producer="test", folder=str(systems))
    with pytest.raises(InputError, match="--engine is tgi; allowed: vllm, sglang, trtllm"):
        import_profile("h100_sxm", "tgi", created=NOW, producer="test", folder=str(systems))


def test_what_sglang_borrows_from_vllm_is_said_and_less_sure(tmp_path: Path) -> None:
    write_tables(tmp_path)
    write_tables(tmp_path, engine="sglang")
    mine = import_profile(
        "h100_sxm", "sglang", created=NOW, producer="test", models=("Llama-3.1-8B",), folder=str(tmp_path)
    )
    theirs = _import(tmp_path)
    assert (mine.name, mine.engine) == ("h100_sxm-sglang", "sglang")
    borrowed = [
        (getattr(mine, name), getattr(theirs, name)) for name in ("host", "frontend", "memory", "startup")
    ]
    borrowed += [*zip(mine.loads, theirs.loads, strict=True), (mine.models[0].lora, theirs.models[0].lora)]
    for ours, original in borrowed:
        tables = original.source.replace("h100_sxm, vllm", "h100_sxm, sglang")
        assert ours.source == f"vLLM's, in place of SGLang's: {tables}"
        assert ours.interval[0] == pytest.approx(original.interval[0] / 1.5, rel=0.05)
        assert ours.interval[1] == pytest.approx(original.interval[1] * 1.5, rel=0.05)
    for own in (mine.models[1].dense, mine.models[1].attn_decode, mine.models[1].all_reduce):
        assert own is not None
        assert "sglang 0.24.0" in own.source
    assert mine.graph_sizes[:6] == (1, 2, 4, 8, 12, 16)
    assert mine.graph_sizes[-1] == 256


def test_of_two_kernels_for_the_same_shapes_the_one_measured_most_counts(tmp_path: Path) -> None:
    """The second kernel of the synthetic tables is ten times slower; the laws of the first are met."""
    write_tables(tmp_path)
    write_tables(tmp_path, engine="sglang")
    mine = import_profile(
        "h100_sxm", "sglang", created=NOW, producer="test", models=("Llama-3.1-8B",), folder=str(tmp_path)
    )
    ours, theirs = mine.models[0].attn_decode, _import(tmp_path).models[0].attn_decode
    assert ours.fixed_s == theirs.fixed_s
    assert ours.per_context_token_s == theirs.per_context_token_s
    one, other = mine.models[1].all_reduce, _import(tmp_path).models[1].all_reduce
    assert one is not None
    assert other is not None
    assert one.y_s[0] == other.y_s[0]


def test_the_command_writes_a_profile_that_loads(systems: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    call = ["import", "aiconfigurator", "--system", "h100_sxm", "--models", "Llama-3.1-8B"]
    call += ["--tables", str(systems), "--out", str(out)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert load_profile(out).name == "mine"
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 2
    assert "Add --force" in again.output
    assert CliRunner().invoke(main, [*call, "--force"]).exit_code == 0


def test_a_failed_import_leaves_no_file(systems: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    done = CliRunner().invoke(
        main, ["import", "aiconfigurator", "--system", "h9", "--tables", str(systems), "--out", str(out)]
    )
    assert done.exit_code == 2
    assert "--system is h9" in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("tokens", "dense_ms", "head_ms"), [(1, 5.0, 0.4), (64, 5.9, 0.45), (2048, 35.6, None)]
)
def test_h100_products_are_what_was_added_up_by_hand(
    h100: Tables, tokens: int, dense_ms: float, head_ms: float | None
) -> None:
    """design.md section 3: 5.0 ms dense at one token, 5.9 at 64, 35.6 at 2048; head 0.4 and 0.45."""
    table = gemm_table(h100, "bfloat16")
    assert table is not None
    at = np.asarray([float(tokens)])
    assert 1e3 * dense_gemms_s(table, model("Llama-3.1-8B"), 1, at)[0] == pytest.approx(dense_ms, rel=0.02)
    if head_ms is not None:
        assert 1e3 * table.at(at, 128256, 4096)[0] == pytest.approx(head_ms, rel=0.08)


@pytest.mark.parametrize(("tokens", "added_ms"), [(1, 1.1), (2048, 4.1)])
def test_h100_small_rank_products_are_what_was_added_up_by_hand(
    h100: Tables, tokens: int, added_ms: float
) -> None:
    """design.md section 3: rank 64 adds 1.1 ms at decode and 4.1 ms to 2048 prompt tokens."""
    table = gemm_table(h100, WeightsDtype.BFLOAT16.value)
    assert table is not None
    seconds = lora_gemms_s(table, model("Llama-3.1-8B"), 1, np.asarray([float(tokens)]), 64)[0]
    assert 1e3 * seconds == pytest.approx(added_ms, rel=0.06)


def test_h100_attention_is_what_was_added_up_by_hand(h100: Tables) -> None:
    """design.md section 3: 0.4 ms at one sequence of 1024 tokens, 3.8 at 64; the line is 10 % off there."""
    profile = import_profile("h100_sxm", "vllm", created=NOW, producer="test", models=("Llama-3.1-8B",))
    clock = ProfileClock(
        profile, profile.models[0], EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048)
    )
    one = clock.parts(Batch(1, 1024, outputs=1)).attention
    many = clock.parts(Batch(64, 64 * 1024, outputs=64)).attention
    assert 1e3 * one == pytest.approx(0.43, rel=0.05)
    assert 1e3 * many == pytest.approx(3.8, rel=0.12)
