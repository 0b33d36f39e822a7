"""Every workload of a scenario becomes a trace; the shipped fits; scaling and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.datafiles import data_dir
from advisor.errors import InputError, validated
from advisor.spec.spec import Spec
from advisor.spec.workload import Workload
from advisor.trace import Trace, load_trace, save_trace
from advisor.trace.assign import assign
from advisor.trace.describe import describe, zipf_exponent
from advisor.trace.fitted import load_fitted, workload_names
from advisor.trace.prefixes import hit_ratio, ragged, reuse_of
from advisor.trace.realise import trace_of
from advisor.trace.scale import between, faster, longer, repeated, take
from tests.trace.strategies import same, traces

NAMES = ("x", "y", "z")


class Holder(Spec):
    workload: Workload


def workload(**raw: object) -> Workload:
    return validated(Holder, {"workload": raw}, "test").workload


FIXED = {"kind": "fixed", "tokens": 10}
ONE_PROCESS = {
    "kind": "generator",
    "arrivals": {"kind": "poisson", "rate": "10 req/s"},
    "prompt_tokens": FIXED,
    "output_tokens": FIXED,
    "duration": "100s",
}


def test_a_generator_gets_the_scenario_s_adapters() -> None:
    trace = trace_of(workload(**ONE_PROCESS), NAMES, (1, 1, 2), 0.2, seed=1, folder=Path())
    assert trace.adapters == NAMES
    assert np.mean(trace.adapter == -1) == pytest.approx(0.2, abs=0.05)
    assert np.mean(trace.adapter == 2) == pytest.approx(0.4, abs=0.06)
    alone = trace_of(workload(**ONE_PROCESS), (), None, seed=1, folder=Path())
    assert alone.adapters == ()
    with pytest.raises(InputError, match="popularity"):
        trace_of(workload(**ONE_PROCESS), NAMES, None, seed=1, folder=Path())


def test_a_trace_file_is_read_cut_and_scaled(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "arrival_s,prompt_tokens,output_tokens,model\n"
        + "".join(f"{i},{i + 1},1,m{i % 2}\n" for i in range(20))
    )
    raw = {"kind": "trace", "path": "t.csv", "start": "5s", "duration": "10s", "rate_scale": 2.0}
    trace = trace_of(workload(**raw), NAMES, (1, 1, 1), seed=1, folder=tmp_path)
    assert trace.prompt_tokens.tolist() == list(range(6, 16))
    assert trace.arrival_s.tolist() == [i / 2 for i in range(10)]
    assert set(trace.adapters) == set(NAMES)
    named = trace_of(workload(**raw, columns={"adapter": "model"}), NAMES, (1, 1, 1), seed=1, folder=tmp_path)
    assert named.adapters == ("m0", "m1")  # the trace's own
    assert any("its popularity counts" in note for note in named.notes)
    base = trace_of(workload(**raw, columns={"adapter": "model"}), (), None, seed=1, folder=tmp_path)
    assert set(base.adapter.tolist()) == {-1}


def test_streams_name_their_adapters() -> None:
    stream = {
        "adapter": "y",
        "arrivals": {"kind": "poisson", "rate": "5 req/s"},
        "prompt_tokens": FIXED,
        "output_tokens": FIXED,
    }
    raw = {"kind": "streams", "streams": [stream], "duration": "10s"}
    assert trace_of(workload(**raw), NAMES, None, seed=1, folder=Path()).adapters == ("y",)


TENANTS = {
    "kind": "fitted",
    "name": "azure_conv_2023",
    "rate": "40 req/s",
    "duration": "5000s",
    "tenants": "servegen_m_large_tenants",
}


@pytest.mark.parametrize("count", [3, 162, 200])
def test_tenants_become_the_adapters(count: int) -> None:
    names = tuple(f"a{i}" for i in range(count))
    trace = trace_of(workload(**TENANTS), names, None, 0.1, seed=1, folder=Path())
    clients = load_fitted("servegen_m_large_tenants").clients
    assert trace.adapters == names
    assert np.mean(trace.adapter == -1) == pytest.approx(0.1, abs=0.01)
    share = np.bincount(trace.adapter[trace.adapter >= 0], minlength=count) / (trace.adapter >= 0).sum()
    kept = np.array([client.share for client in clients[:count]])
    expected = kept / kept.sum() if count <= 162 else kept
    np.testing.assert_allclose(share[:3], expected[:3], rtol=0.15)
    assert share[162:].sum() < 0.01
    was = load_fitted("azure_conv_2023").measured
    assert was is not None
    assert was.prompt_tokens is not None
    assert np.median(trace.prompt_tokens) == pytest.approx(was.prompt_tokens.p50, rel=0.05)
    own = trace_of(workload(**TENANTS, tenant_lengths=True), names, None, seed=1, folder=Path())
    assert abs(np.median(own.prompt_tokens) / was.prompt_tokens.p50 - 1) > 0.1


def test_named_clients_keep_their_names(tmp_path: Path) -> None:
    from advisor.trace.fit import fit_workload
    from advisor.trace.fitted import save_fitted
    from tests.trace.test_fit import tenants_trace

    save_fitted(fit_workload(tenants_trace()), tmp_path / "mine.json")
    mine = workload(kind="fitted", name="mine.json")
    drawn = trace_of(mine, ("q", "c", "b", "a"), None, seed=1, folder=tmp_path)
    counts = dict(zip(drawn.adapters, np.bincount(drawn.adapter[drawn.adapter >= 0]), strict=True))
    assert counts["a"] > counts["b"] > counts["c"]
    by_place = trace_of(mine, ("q", "c"), None, seed=1, folder=tmp_path)
    assert by_place.adapters == ("q", "c")


def test_tenants_without_clients_are_refused() -> None:
    raw = {**TENANTS, "tenants": "azure_code_2023"}
    with pytest.raises(InputError, match="has no clients"):
        trace_of(workload(**raw), NAMES, None, seed=1, folder=Path())


@pytest.mark.parametrize("name", workload_names())
def test_each_shipped_fit_is_small_sourced_and_draws(name: str) -> None:
    assert (data_dir() / "workloads" / f"{name}.json").stat().st_size < 200_000
    model = load_fitted(name)
    assert model.name == name
    assert all((model.title, model.source, model.licence, model.attribution, model.command))
    raw = {"kind": "fitted", "name": name, "rate": "20 req/s", "duration": "1h"}
    trace = trace_of(workload(**raw), NAMES, (1, 1, 1), seed=1, folder=Path())
    assert len(trace) == pytest.approx(72_000, rel=0.1)
    assert set(trace.adapters) == set(NAMES)


def test_the_shipped_fits_are_the_five() -> None:
    assert workload_names() == (
        "azure_code_2023",
        "azure_conv_2023",
        "mooncake_conversation",
        "servegen_m_large_tenants",
        "servegen_m_small_tenants",
    )


@pytest.mark.data
def test_the_shipped_fits_are_what_the_command_makes(shared_data: Path) -> None:
    from benchmarks.build_workloads import build

    for name, model in build(shared_data / "traces", load_fitted("azure_conv_2023").created).items():
        assert load_fitted(name).model_copy(update={"created": model.created}) == model


@given(trace=traces(), factor=st.floats(0.01, 100))
@settings(max_examples=40)
def test_scaling_keeps_every_request(trace: Trace, factor: float) -> None:
    quick = faster(trace, factor)
    np.testing.assert_allclose(quick.arrival_s * factor, trace.arrival_s)
    assert quick.prompt_tokens is trace.prompt_tokens
    assert same(take(trace, np.arange(len(trace))), between(trace))
    thrice = repeated(trace, 3)
    assert len(thrice) == 3 * len(trace)
    assert np.array_equal(thrice.prompt_tokens[len(trace) : 2 * len(trace)], trace.prompt_tokens)
    if trace.prefixes is not None:
        assert hit_ratio(thrice) == pytest.approx(hit_ratio(repeated(trace, 1)), abs=1e-12)


def test_lengths_scale_and_prefixes_are_cut() -> None:
    trace = Trace(
        np.zeros(1), np.array([64]), np.array([10]), np.array([-1]), prefixes=ragged([[1, 2, 3, 4]], 16)
    )
    short = longer(trace, 0.5, 3.0)
    assert (short.prompt_tokens.tolist(), short.output_tokens.tolist()) == ([32], [30])
    assert short.prefixes is not None
    assert short.prefixes.ids.tolist() == [1, 2]
    with pytest.raises(InputError, match="at most 10,000,000"):
        longer(trace, 1e9)
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="above 0"):
            faster(trace, bad)
    with pytest.raises(InputError, match="nothing arrives"):
        between(trace, 5.0)


def test_figures_of_a_small_trace_by_hand() -> None:
    trace = Trace(
        np.array([0.0, 1.0, 1.0, 4.0]),
        np.array([32, 48, 33, 16]),
        np.array([1, 3, 2, 4]),
        np.array([0, 0, 1, -1]),
        ("a", "b"),
        prefixes=ragged([[1, 2], [1, 2, 3], [1, 2], []], 16),
    )
    reuse = reuse_of(trace)
    assert reuse.depth.tolist() == [0, 2, 0, 0]  # b shares nothing with a
    assert reuse.age_s[1] == 1.0
    figures = describe(trace)
    assert figures.rate_rps == 0.75
    assert figures.gap_cv == pytest.approx(np.std([1, 0, 3]) / np.mean([1, 0, 3]))
    assert figures.dispersion[0].index == pytest.approx(np.var([1, 2, 0, 0]) / 0.75)
    assert figures.rank_correlation == pytest.approx(1 - 6 * 12 / (4 * 15))  # ranks 2 4 3 1 and 1 3 2 4
    assert figures.prefixes is not None
    assert figures.prefixes.hit_ratio == pytest.approx(32 / 129)
    assert figures.adapters is not None
    assert figures.adapters.base_share == 0.25
    assert [(row.name, round(row.share, 3)) for row in figures.adapters.top] == [("a", 0.667), ("b", 0.333)]
    assert zipf_exponent(np.asarray(np.arange(1, 101) ** -1.3, dtype=float)) == pytest.approx(1.3)


def test_assignment_keeps_a_conversation_together() -> None:
    turns = [[1, 2, 3][: 1 + i] if i < 3 else [1, 2, 3, 4, 5][: i + 1] for i in range(5)]
    trace = Trace(
        np.arange(5.0),
        np.full(5, 999),
        np.ones(5, dtype=np.int64),
        np.full(5, -1),
        prefixes=ragged(turns, 16),
    )
    for seed in range(20):
        adapter = assign(trace, ("a", "b", "c"), (1, 1, 1), seed=seed).adapter
        assert len(set(adapter[1:].tolist())) == 1  # from the second turn on, more than half is shared


def test_a_written_trace_describes_the_same(tmp_path: Path) -> None:
    drawn = trace_of(workload(**ONE_PROCESS), NAMES, (1, 1, 2), seed=1, folder=Path())
    save_trace(drawn, tmp_path / "t.parquet")
    read = load_trace(tmp_path / "t.parquet", keep_start=True)
    assert describe(read).model_copy(update={"name": ""}).gap_cv == describe(drawn).gap_cv


def test_more_adapters_than_clients_go_on_along_the_popularity_curve() -> None:
    from advisor.trace.tenants import as_adapters

    mix = load_fitted("servegen_m_small_tenants")
    names = tuple(f"a{i}" for i in range(86))
    clients = as_adapters(mix, names, own_lengths=True, base_share=0.0).clients
    exponent = zipf_exponent(np.array([client.share for client in mix.clients]))
    assert exponent is not None
    assert clients[85].share == pytest.approx(mix.clients[-1].share * (43 / 86) ** exponent)
    assert clients[43].gap_cv == mix.clients[0].gap_cv
    assert clients[42].share == mix.clients[42].share
