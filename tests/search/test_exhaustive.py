"""On small grids the search finds what trying everything finds: regret at most 1 %."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor.profile import LoadTerm, LoraTerm, Profile
from advisor.search.question import Question
from advisor.search.ranking import search
from advisor.spec.spec import Origin
from benchmarks._exhaustive import exhaustive
from tests.profiles import DEVICE, profile, terms
from tests.questions import price, question

MARK: dict[str, Any] = {"origin": Origin.ESTIMATED, "source": "made up for a test"}
WAYS = {"requests": 200, "ways": ["multi-lora", "merged"], "max_replicas": 8, "draws": 0}
EVEN = {"kind": "zipf", "exponent": 0.0}
SLOW = profile(
    loads=(
        LoadTerm(**MARK, hop="disk_to_cpu", fixed_s=0.2, bandwidth_bytes_per_s=1e9),
        LoadTerm(**MARK, hop="cpu_to_slot", fixed_s=60e-3, bandwidth_bytes_per_s=20e9),
    )
)
"""An engine that stalls 60 ms for every adapter that comes into a slot."""


def _alone(asked: Question) -> Question:
    """The trial is all there is: nothing is confirmed on other requests, so that both see the same."""
    return replace(asked, whole=asked.trial)


def _busy(rate: float, **adapters: Any) -> dict[str, Any]:
    return {
        "workload": {
            "kind": "generator",
            "arrivals": {"kind": "poisson", "rate": f"{rate} req/s"},
            "prompt_tokens": {"kind": "lognormal", "median": 300, "p95": 1200, "maximum": 4000},
            "output_tokens": {"kind": "lognormal", "median": 60, "p95": 200, "maximum": 400},
            "duration": "60s",
        },
        "adapters": {"count": 12, "rank": 16, **adapters},
    }


def _two_devices() -> tuple[Profile, Profile]:
    cheap = LoraTerm(**MARK, fixed_s=1e-3, per_adapter_s=1e-5)
    other = DEVICE.model_copy(update={"name": "FAST-80"})
    return profile(), profile(terms(lora=cheap), device=other, name="fast_80-vllm")


@pytest.mark.parametrize(
    ("profiles", "changes"),
    [
        ((), {}),
        ((), {**_busy(20), "speculation": {"drafts": [{"method": "ngram"}], "draft_lengths": [1, 3]}}),
        ((), {**_busy(25), "objective": {"slos": [{"metric": "tpot", "percentile": 90, "limit": "15ms"}]}}),
        ((SLOW,), _busy(14, count=40)),
        ((SLOW,), _busy(14, count=40, popularity=EVEN)),
        ((SLOW,), _busy(10, count=60, popularity=EVEN)),
        ((SLOW,), {**_busy(20, count=16, popularity=EVEN), "engine": {"max_loras": 4}}),
        (_two_devices(), _busy(30)),
        ((), {**_busy(10, count=2), "objective": {"preset": "interactive"}}),
    ],
    ids=[
        "quiet",
        "drafts",
        "tpot",
        "slow loads",
        "slow loads, even",
        "many, even",
        "few slots, even",
        "two devices",
        "two adapters",
    ],
)
def test_regret_is_at_most_a_hundredth(profiles: tuple[Profile, ...], changes: dict[str, Any]) -> None:
    asked = _alone(question(*profiles, **{"search": WAYS, **changes}))
    if len(asked.offers) > 1:
        first, second = asked.offers
        asked = replace(asked, offers=(first, replace(second, price=price("FAST-80", 2.6))))
    best = exhaustive(asked, most_replicas=6, budgets=(1024, 4096))
    found = search(asked).best
    assert best.plan is not None, "a grid without an answer tests nothing"
    assert found is not None
    assert found.option.usd_per_hour is not None
    assert found.option.usd_per_hour <= 1.01 * best.usd_per_hour


def test_adapters_stay_on_replicas_of_their_own_where_that_saves_replicas() -> None:
    """Sixteen adapters asked for alike, four slots, loads that stall: each replica keeps its four."""
    changes = {**_busy(20, count=16, popularity=EVEN), "engine": {"max_loras": 4}}
    free, bound = (
        search(_alone(question(SLOW, **changes, search={**WAYS, "ways": ["multi-lora"], **more}))).best
        for more in ({}, {"routers": ["least-outstanding"]})
    )
    assert free is not None
    assert bound is not None
    assert free.option.router == "adapter-affinity"
    assert any("adapter-affinity" in warning for warning in free.option.warnings)
    assert bound.option.router == "least-outstanding"
    assert free.option.replicas < bound.option.replicas
    assert free.option.outcome is not None
    assert bound.option.outcome is not None
    assert free.option.outcome.loads_to_slot < bound.option.outcome.loads_to_slot / 4
