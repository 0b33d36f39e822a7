"""The floor is below everything that is simulated, and near it when a request is alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.search.floor import floor_reason, prompt_s
from advisor.search.knobs import start_limits
from advisor.search.trial import Runner, as_base, traffic_of
from advisor.spec.objective import Metric, Objective, Slo
from tests.questions import question
from tests.search.variants import plain_variant


def test_no_simulated_request_is_faster_than_alone() -> None:
    asked = question()
    variant = plain_variant(asked)
    limits = start_limits(asked, variant).model_copy(update={"max_num_batched_tokens": 512})
    runner = Runner(asked.scenario.objective, asked.ranks, 0)
    setup = runner.replica(variant, limits, merged=None)
    busy = runner.fleet(setup, as_base(asked.trial), 1, "round-robin")
    apart = replace(as_base(asked.trial), arrival_s=np.arange(len(asked.trial), dtype=np.float64) * 100.0)
    lone = runner.fleet(setup, apart, 1, "round-robin")
    floors = np.array([prompt_s(setup.clock, int(p), 512, 0) for p in asked.trial.prompt_tokens])
    floors += variant.profile.frontend.fixed_s
    assert np.all(busy.ttft_s >= floors * (1 - 1e-9))
    np.testing.assert_allclose(lone.ttft_s, floors, rtol=1e-9)


def test_only_a_limit_below_the_floor_is_named() -> None:
    asked = question()
    variant = plain_variant(asked)
    limits = start_limits(asked, variant)
    clock = variant.clock(limits)
    (traffic,) = traffic_of("base", asked.trial, asked.adapters.names)

    def reason(metric: Metric, limit_ms: int) -> str | None:
        slo = Slo(metric=metric, limit=f"{limit_ms}ms")  # type: ignore[arg-type]  # units are parsed from text
        return floor_reason(variant, limits, clock, traffic, Objective(slos=(slo,)))

    assert reason(Metric.TPOT, 100) is None
    assert "TPOT" in (reason(Metric.TPOT, 1) or "")
    assert reason(Metric.TTFT, 1000) is None
    assert "TTFT" in (reason(Metric.TTFT, 10) or "")
