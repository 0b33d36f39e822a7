"""A regenerated trace is like the one that was fitted, within stated tolerances; a wrong fit is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.spec.workload import AdapterStream, FixedLength, GammaArrivals, LognormalLength, Streams
from advisor.trace import Trace, load_trace
from advisor.trace.describe import Description, describe, gap_cv
from advisor.trace.fit import fit_workload, generate_fitted
from advisor.trace.fitted import FittedModel, fitted_text, load_fitted, save_fitted
from advisor.trace.generate import generate_streams
from advisor.trace.trace import Ints
from tests.trace.strategies import same

TRACES = ("azure_llm_2023_conv.csv.gz", "azure_llm_2023_code.csv.gz", "mooncake_fast25_conversation.jsonl.gz")
KS = 0.03  # two halves of one of these traces differ by 0.01 to 0.02
RANK_CORRELATION = 0.04
DISPERSION = 0.25  # relative; one hour holds 59 windows of a minute
HIT_RATIO = 0.02
SEEDS = (0, 1, 2)


def kolmogorov_smirnov(one: Ints, other: Ints) -> float:
    """Largest distance of the two distribution functions."""
    at = np.unique(np.concatenate((one, other)))
    a, b = (np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (one, other))
    return float(np.abs(a - b).max())


def misses(trace: Trace, model: FittedModel) -> dict[str, float]:
    """Mean distance over seeds by figure, in units of its tolerance."""
    found: dict[str, list[float]] = {}
    was = describe(trace)
    for seed in SEEDS:
        drawn = generate_fitted(model, seed=seed)
        prompt = kolmogorov_smirnov(trace.prompt_tokens, drawn.prompt_tokens)
        output = kolmogorov_smirnov(trace.output_tokens, drawn.output_tokens)
        for name, value in {
            "prompt": prompt / KS,
            "output": output / KS,
            **_figures(was, describe(drawn)),
        }.items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _figures(was: Description, now: Description) -> dict[str, float]:
    figures = {
        f"dispersion at {a.window_s} s": abs((b.index or 0) / (a.index or 1) - 1) / DISPERSION
        for a, b in zip(was.dispersion, now.dispersion, strict=True)
    }
    figures["correlation"] = abs((was.rank_correlation or 0) - (now.rank_correlation or 0)) / RANK_CORRELATION
    if was.prefixes is not None:
        assert now.prefixes is not None
        figures["hit ratio"] = abs(was.prefixes.hit_ratio - now.prefixes.hit_ratio) / HIT_RATIO
    return figures


@pytest.mark.data
@pytest.mark.parametrize("file", TRACES)
def test_a_regenerated_trace_is_like_the_public_one(shared_data: Path, file: str) -> None:
    trace = load_trace(shared_data / "traces" / file)
    found = misses(trace, fit_workload(trace))
    assert max(found.values()) < 1, found


@pytest.mark.data
@pytest.mark.parametrize("column", ["lengths", "arrivals", "cells", "reuse"])
def test_a_wrong_fit_is_seen(shared_data: Path, column: str) -> None:
    """Each part of another trace's fit (for cells: a perfect correlation) breaks a figure."""
    mooncake, code = (load_trace(shared_data / "traces" / TRACES[i]) for i in (2, 1))
    right, other = fit_workload(mooncake), fit_workload(code)
    if column == "cells":
        perfect = tuple(tuple(float(i == j) for j in range(8)) for i in range(8))
        wrong = right.model_copy(update={"lengths": right.lengths.model_copy(update={"cells": perfect})})
    elif column == "reuse":
        assert right.reuse is not None
        shallow = tuple(d.model_copy(update={"fresh_share": 0.3}) for d in right.reuse.depths)
        wrong = right.model_copy(update={"reuse": right.reuse.model_copy(update={"depths": shallow})})
    else:
        wrong = right.model_copy(update={column: getattr(other, column)})
    assert max(misses(mooncake, wrong).values()) > 1.5


def tenants_trace(seed: int = 1) -> Trace:
    """Three adapters of different rate, burstiness and lengths, and the base."""

    def stream(name: str, rate: float, cv: float, median: float) -> AdapterStream:
        return AdapterStream(
            adapter=name,
            arrivals=GammaArrivals(kind="gamma", rate=f"{rate} req/s", cv=cv),  # type: ignore[arg-type]
            prompt_tokens=LognormalLength(kind="lognormal", median=median, p95=4 * median),
            output_tokens=FixedLength(kind="fixed", tokens=int(median / 10)),
        )

    streams = (
        stream("a", 4, 3, 100),
        stream("b", 2, 1, 1000),
        stream("c", 1, 0.5, 5000),
        stream("base", 1, 1, 50),
    )
    return generate_streams(Streams(kind="streams", streams=streams, duration="2000s"), seed=seed)  # type: ignore[arg-type]


def test_adapters_keep_share_burstiness_and_lengths() -> None:
    trace = tenants_trace()
    model = fit_workload(trace)
    assert [client.name for client in model.clients] == ["a", "b", "c"]
    drawn = generate_fitted(model, seed=5)
    assert drawn.adapters == ("a", "b", "c")
    assert np.mean(drawn.adapter == -1) == pytest.approx(1 / 8, abs=0.02)
    for index, (share, cv, median) in enumerate(((4 / 7, 3, 100), (2 / 7, 1, 1000), (1 / 7, 0.5, 5000))):
        mine = drawn.adapter == index
        assert mine.sum() / (drawn.adapter >= 0).sum() == pytest.approx(share, abs=0.04)
        assert gap_cv(drawn.arrival_s[mine]) == pytest.approx(cv, rel=0.25)
        assert np.median(drawn.prompt_tokens[mine]) == pytest.approx(median, rel=0.12)
        was = trace.prompt_tokens[trace.adapter == index]
        assert kolmogorov_smirnov(drawn.prompt_tokens[mine], was) < 0.08


def test_rate_and_duration_can_be_chosen_and_lengths_stay() -> None:
    trace = tenants_trace()
    single = Trace(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, np.full(len(trace), -1))
    model = fit_workload(single)
    slow, fast = (generate_fitted(model, rate_rps=rate, duration_s=1500.0, seed=2) for rate in (4.0, 8.0))
    assert len(slow) == pytest.approx(6000, rel=0.05)
    assert slow.duration_s < 1500
    assert len(fast) == pytest.approx(2 * len(slow), rel=0.05)
    assert np.array_equal(slow.prompt_tokens, fast.prompt_tokens[: len(slow)])
    assert same(slow, generate_fitted(model, rate_rps=4.0, duration_s=1500.0, seed=2))


def test_a_model_survives_its_file_and_holds_no_request(tmp_path: Path) -> None:
    trace = tenants_trace()
    model = fit_workload(trace)
    save_fitted(model, tmp_path / "m.json")
    assert load_fitted(str(tmp_path / "m.json")) == model
    assert load_fitted("m.json", tmp_path) == model
    cells = json.loads(fitted_text(model))["lengths"]["cells"]
    assert 8 * len(cells) ** 2 <= len(trace)  # eight requests a cell on average
    assert len(fitted_text(model)) < 20_000  # 16,000 requests are far longer


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("{", "not valid JSON"),
        ("[]", "allowed: an object"),
        ('{"schema_version": 9}', "newer version"),
        ('{"schema_version": 1}', "arrivals is missing"),
    ],
)
def test_a_bad_model_file_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(InputError, match=said):
        load_fitted("m.json", tmp_path)


def test_an_unknown_name_gets_a_hint_and_a_short_trace_is_refused() -> None:
    with pytest.raises(InputError, match="Did you mean azure_conv_2023"):
        load_fitted("azure_conv_2032")
    few = tenants_trace()
    with pytest.raises(InputError, match="at least 100 requests"):
        fit_workload(
            Trace(
                few.arrival_s[:50],
                few.prompt_tokens[:50],
                few.output_tokens[:50],
                few.adapter[:50],
                few.adapters,
            )
        )
