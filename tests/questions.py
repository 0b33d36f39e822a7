"""Small questions with a made-up device, for tests of search and explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from advisor.catalog.capabilities import engine
from advisor.profile import Profile
from advisor.search.question import Offer, Question, typical_stretch
from advisor.spec.adapterset import resolve_adapters
from advisor.spec.price import DevicePrice
from advisor.spec.scenario import Scenario, scenario_from_mapping
from advisor.spec.workload import Generator
from advisor.trace.generate import generate
from tests.profiles import LLAMA_8B, profile


def scenario(**changes: Any) -> Scenario:
    """Twelve adapters of rank 16, eight requests a second, chat limits."""
    raw: dict[str, Any] = {
        "schema_version": 1,
        "name": "made up",
        "model": "Llama-3.1-8B",
        "adapters": {"count": 12, "rank": 16},
        "workload": {
            "kind": "generator",
            "arrivals": {"kind": "poisson", "rate": "8 req/s"},
            "prompt_tokens": {"kind": "lognormal", "median": 300, "p95": 1200, "maximum": 4000},
            "output_tokens": {"kind": "lognormal", "median": 60, "p95": 200, "maximum": 400},
            "duration": "60s",
        },
        "objective": {"preset": "chat"},
        "search": {"requests": 300},
    }
    return scenario_from_mapping({**raw, **changes}, "made up")


def price(device: str, usd_per_hour: float = 2.0) -> DevicePrice:
    """A price of one device."""
    return DevicePrice(
        device=device,
        provider="made up",
        tier="on-demand",
        usd_per_hour=usd_per_hour,
        source="made up for a test",
        date="2026-11-25",
    )


def question(*profiles: Profile, **changes: Any) -> Question:
    """Everything looked up, on the made-up device or on the profiles given."""
    asked = scenario(**changes)
    adapters = resolve_adapters(asked.adapters, Path())
    assert isinstance(asked.workload, Generator)
    trace = generate(
        asked.workload,
        adapters.names,
        adapters.shares or (),
        base_share=adapters.base_share,
        seed=asked.seed,
    )
    offers = tuple(Offer(p, price(p.device.name)) for p in profiles or (profile(),))
    trial = typical_stretch(trace, asked.search.requests)
    return Question(asked, LLAMA_8B, adapters, engine("vllm"), offers, trace, trial)
