"""Samples to the terms of a profile; a term that the sweep could not pin down is marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from advisor.errors import MeasurementError
from advisor.profile import (
    Curve,
    DecodeAttention,
    FrontendTerm,
    HostTerm,
    LoraTerm,
    ModelTerms,
    PrefillAttention,
    Residual,
)
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from advisor.steptime.attention import chunk_work
from calibration.endpoint import steps as s
from calibration.endpoint.samples import Sample
from calibration.fit import Fit, fit_non_negative

_RESAMPLES: Final = 100
_PINNED: Final = 1.0
"""A coefficient is pinned down if its 90 % interval is no wider than itself; one of 0 never is."""
_DECODING: Final = (s.SEQUENCE, s.CONTEXT, s.LORA, s.LORA_ADAPTER, s.LORA_TOKEN, s.LORA_PROMPT)
_GRID: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


@dataclass(frozen=True, slots=True)
class Found:
    """The fit, and how far each coefficient may be trusted."""

    fit: Fit
    knots: tuple[int, ...]
    budget_tokens: int
    rows: int
    speculates: bool = False  # decode steps are not what they seem

    def value(self, name: str) -> float:
        """Seconds; 0 where nothing was asked that would show it."""
        return self.fit.values.get(name, 0.0)

    def pinned(self, name: str) -> bool:
        """Whether the samples say what it is."""
        if name not in self.fit.values or (self.speculates and name in _DECODING):
            return False
        value = self.fit.values[name]
        return value > 0 and self.fit.high[name] - self.fit.low[name] <= _PINNED * value

    def mark(self, names: Sequence[str], source: str) -> dict[str, Any]:
        """Origin, source and interval of a term that is made of these coefficients.

        The interval multiplies: that of the largest coefficient. A term of which nothing is pinned down is
        an estimate, and its source says so.
        """
        known = [name for name in names if self.pinned(name)]
        if known:
            main = max(known, key=self.value)
            value = self.value(main)
            low, high = self.fit.low[main] / value, self.fit.high[main] / value
            around = (float(np.clip(low, 0.05, 1.0)), float(np.clip(high, 1.0, 20.0)))
            return {"origin": Origin.FITTED, "source": source, "interval": around}
        return {"origin": Origin.ESTIMATED, "source": f"{source}; not pinned down", "interval": (0.05, 20.0)}

    def loose(self) -> list[str]:
        """A sentence for each coefficient that is not pinned down."""
        return [
            f"not pinned down: seconds a {name}, {self.value(name):.3g} "
            f"({self.fit.low[name]:.3g} to {self.fit.high[name]:.3g})."
            for name in self.fit.values
            if not name.startswith(s.DENSE) and not self.pinned(name)
        ]


def fit_samples(samples: Sequence[Sample], budget_tokens: int, seed: int = 0) -> Found:
    """Fit step times (MeasurementError: too few samples).

    Samples weigh alike by probe, not by number: a long decode must not drown a first token.
    """
    used = [sample for sample in samples if sample.kind != "held_out"]
    kinds = {sample.kind for sample in used}
    if not {"ttft", "decode"} <= kinds:
        raise MeasurementError(
            "too little was measured to fit anything: first tokens and steps of running streams are both "
            "needed. Raise --budget or --max-requests."
        )
    knots = s.knots_of(used, budget_tokens)
    columns = s.columns_of(used, knots, budget_tokens)
    if len(used) < len(columns):
        raise MeasurementError(
            f"{len(used)} samples for {len(columns)} terms. Raise --budget or --max-requests."
        )
    fit = fit_non_negative(
        columns,
        np.array([sample.seconds for sample in used]),
        relative=False,
        weights=_weights(used),
        resamples=_RESAMPLES,
        seed=seed,
    )
    return Found(fit, tuple(knots), budget_tokens, len(used))


def _weights(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Relative errors, each kind of probe alike: 1 / (median seconds of the same probe)² / their number.

    Not 1 / seconds²: one figure that came out too small would outweigh all others.
    """
    keys = [(x.kind, x.prompt_tokens, x.decodes, x.adapters, round(x.context_tokens, -2)) for x in samples]
    groups: dict[Any, list[float]] = {}
    for key, sample in zip(keys, samples, strict=True):
        groups.setdefault(key, []).append(sample.seconds)
    each = {key: 1.0 / float(np.median(values)) ** 2 / len(values) for key, values in groups.items()}
    return np.array([each[key] for key in keys])


def terms_of(found: Found, shape: ModelShape, limits_seqs: int, source: str, *, lora: bool) -> ModelTerms:
    """The step-time terms of the model."""
    off = float(np.clip(found.fit.p90_absolute, 0.01, 0.9))
    seconds = np.cumsum([found.value(f"{s.DENSE} {knot}") for knot in found.knots])
    whole = f"{source}; with the fixed time of a step, head and sampling, which a client cannot tell apart"
    dense = Curve(
        origin=Origin.ESTIMATED if found.speculates else Origin.FITTED,
        source=whole,
        interval=(1 - off, 1 + off),
        x=tuple(float(knot) for knot in found.knots),
        y_s=tuple(seconds.tolist()),
    )
    head = Curve(origin=Origin.ESTIMATED, source=f"{source}; within dense", x=(1.0,), y_s=(0.0,))
    per_pair, per_context = found.value(s.PAIR), found.value(s.CONTEXT)
    grid = tuple(tuple(per_pair * chunk_work(float(q), c) for c in (0, *_GRID[3:])) for q in _GRID)
    return ModelTerms(
        model=shape,
        dense=dense,
        head=head,
        attn_prefill=PrefillAttention(
            **found.mark([s.PAIR], source),
            new_tokens=tuple(map(float, _GRID)),
            context_tokens=tuple(map(float, (0, *_GRID[3:]))),
            seconds=grid,
        ),
        attn_decode=DecodeAttention(
            **found.mark([s.CONTEXT], source),
            sequences=(1.0, float(max(2, limits_seqs))),
            fixed_s=(0.0, 0.0),
            per_context_token_s=(per_context, per_context),
        ),
        lora=_lora(found, source) if lora else None,
    )


def _lora(found: Found, source: str) -> LoraTerm:
    names = [s.LORA, s.LORA_ADAPTER, s.LORA_TOKEN, s.LORA_PROMPT]
    return LoraTerm(
        **found.mark(names, f"{source}; for the server's own max_lora_rank and slots"),
        fixed_s=found.value(s.LORA),
        per_adapter_s=found.value(s.LORA_ADAPTER),
        per_token_s=found.value(s.LORA_TOKEN),
        per_prompt_token_s=found.value(s.LORA_PROMPT),
    )


def host_of(found: Found, source: str) -> HostTerm:
    """What a sequence adds to a step; the fixed time is in the dense curve."""
    return HostTerm(**found.mark([s.SEQUENCE], source), fixed_s=0.0, per_sequence_s=found.value(s.SEQUENCE))


def frontend_of(found: Found, source: str) -> FrontendTerm:
    """The way in and out; the client's own time and the network are off already."""
    return FrontendTerm(
        **found.mark([s.WAY, s.WAY_TOKEN], source),
        fixed_s=found.value(s.WAY),
        per_prompt_token_s=found.value(s.WAY_TOKEN),
    )


def residual_of(found: Found, samples: Sequence[Sample]) -> Residual | None:
    """Predicted over measured on the ramp's steps, which no fit saw."""
    held = [sample for sample in samples if sample.kind == "held_out"]
    if not held:
        return None
    columns = s.columns_of(held, found.knots, found.budget_tokens)
    predicted = sum((found.value(name) * column for name, column in columns.items()), np.zeros(len(held)))
    relative = predicted / np.array([sample.seconds for sample in held]) - 1.0
    return Residual(
        points=len(held),
        median_relative=float(np.median(relative)),
        p90_absolute_relative=float(np.quantile(np.abs(relative), 0.9)),
        source="steps of the saturation ramp (prompts of many lengths, adapters among the base), in no fit",
    )
