"""What an answer rests on, and how far each input may be off.

Every term of a profile has an interval that holds the truth with about 90 %. A draw multiplies the term by

    exp(z / 1.645 · ln high)   z > 0
    exp(z / 1.645 · -ln low)   z <= 0        z standard normal

a log-normal in two pieces: its median is the estimate itself, its 5 % and 95 % points are the ends of the
interval, and an interval (1, 1) gives 1 for every z. A term that was measured on a device errs by itself; one
that was carried over from elsewhere or computed by a rule errs alike on every device (one z for all of them).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from advisor.deployment import Variant
from advisor.profile import Provenance
from advisor.spec.spec import Origin, worst

Bounds = tuple[float, float]

TRAFFIC: Final = "traffic"
ACCEPTANCE_INTERVALS: Final[dict[Origin, Bounds]] = {
    Origin.MEASURED: (0.95, 1.05),
    Origin.FITTED: (0.95, 1.05),
    Origin.EXTRAPOLATED: (0.7, 1.4),
    Origin.ESTIMATED: (0.5, 1.5),
    Origin.DATASHEET: (0.5, 1.5),
}
"""An acceptance has no interval of its own: assumed by its origin, on the accepted drafts of a step."""
_NORMAL: Final = NormalDist()
SIGMAS: Final = _NORMAL.inv_cdf(0.95)
"""Standard deviations from the median to an end of a 90 % interval."""
_TERMS: Final = ("dense", "head", "attn_decode", "attn_mixed", "attn_prefill", "all_reduce")
_WORDS: Final = {
    "dense": "matrix products",
    "head": "output head and sampling",
    "attn_decode": "attention of decodes",
    "attn_mixed": "attention of decodes beside prompts",
    "attn_prefill": "attention of prompts",
    "all_reduce": "all-reduce",
    "lora": "LoRA kernels",
    "host": "host work",
    "frontend": "frontend (outside the engine)",
    "disk_to_cpu": "adapter loading from disk",
    "cpu_to_slot": "adapter loading into a slot",
    "memory": "memory overhead of the engine",
    TRAFFIC: "load",
}


@dataclass(frozen=True, slots=True, order=True)
class Input:
    """One thing that may be off. `device` is empty where the error is the same on every device."""

    term: str
    device: str = ""

    @property
    def words(self) -> str:
        """The input for people."""
        kind, _, draft = self.term.partition(":")
        named = {"draft": f"drafting by {draft}", "acceptance": f"acceptance of {draft} drafts"}
        text = named.get(kind) or _WORDS[self.term]
        return f"{text} on {self.device}" if self.device else text


@dataclass(frozen=True, slots=True)
class Doubt:
    """An input as one variant has it: by how much it may be multiplied, and where it comes from."""

    input: Input
    interval: Bounds
    origin: Origin


def factor(z: float, interval: Bounds) -> float:
    """Multiplier of an input at z standard deviations; 1 at z = 0 and for an interval (1, 1)."""
    low, high = interval
    return math.exp(z / SIGMAS * (math.log(high) if z > 0 else -math.log(low)))


def doubts_of(variant: Variant) -> dict[str, Doubt]:
    """By term, every doubt about a variant; terms with an interval (1, 1) are left out."""
    device = variant.profile.device.name
    found = {}
    for term, interval, origin in _intervals(variant):
        if interval != (1.0, 1.0):
            shared = origin.badness > Origin.FITTED.badness
            found[term] = Doubt(Input(term, "" if shared else device), interval, origin)
    return found


def _intervals(variant: Variant) -> Iterator[tuple[str, Bounds, Origin]]:
    terms, profile = variant.terms, variant.profile
    rows: list[tuple[str, Provenance | None]] = [(name, getattr(terms, name)) for name in _TERMS]
    rows += [("host", profile.host), ("frontend", profile.frontend), ("memory", profile.memory)]
    if variant.way in ("multi-lora", "hybrid"):
        rows.append(("lora", terms.lora))
        rows += [(load.hop, load) for load in profile.loads]
    drafting = variant.drafting
    if drafting is not None:
        rows.append((f"draft:{drafting.term.method}", drafting.term))
    for name, term in rows:
        if term is not None:
            yield name, term.interval, term.origin
    if drafting is not None:
        own = (one.acceptance.origin for one in drafting.own)
        origin = worst(drafting.base.origin, drafting.adapter.origin, *own)
        method = drafting.name or drafting.term.method
        yield f"acceptance:{method}", ACCEPTANCE_INTERVALS[origin], origin


def factors_of(variant: Variant, z: Mapping[Input, float]) -> dict[str, float]:
    """By term, what a world multiplies a variant's terms with; terms left at 1 are left out."""
    found = {
        term: factor(z.get(doubt.input, 0.0), doubt.interval) for term, doubt in doubts_of(variant).items()
    }
    return {term: value for term, value in found.items() if value != 1.0}


def spread_evenly(one: Input, draws: int, seed: int) -> list[float]:
    """Standard normal draws of an input, one from each of `draws` equally likely slices, in random order.

    They depend on the input's name, the number of draws and the seed alone, so that one more input changes
    nothing for the others (Latin hypercube: McKay, Beckman and Conover 1979).
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{one.term}/{one.device}".encode())])
    places = (rng.permutation(draws) + rng.random(draws)) / draws
    return [_NORMAL.inv_cdf(min(max(float(place), 1e-9), 1 - 1e-9)) for place in places]


def chance_beyond(z: float) -> float:
    """Chance that an input lies further out than z, on that side."""
    return _NORMAL.cdf(-abs(z))
