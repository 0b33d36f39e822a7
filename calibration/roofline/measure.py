"""All cases, round by round, the device's rates measured beside each. Read `measure` first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calibration.engine.options import EngineOptions
from calibration.engine.weights import PACKED
from calibration.randomweights import write_adapter
from calibration.roofline.cases import Case
from calibration.roofline.clock import Clock
from calibration.roofline.parts import watched
from calibration.roofline.rates import Device, Rates
from calibration.roofline.rig import Rig

Progress = Callable[[float, str], None]
_STEPS = 6


@dataclass(slots=True)
class Found:
    """One case: seconds of its steps, least seconds by the rates beside, shares of its parts."""

    case: Case
    steps_s: list[float] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)  # least / step, one a round
    bound: str = ""
    parts: dict[str, float] = field(default_factory=dict)  # share of a step
    graph: bool = False  # a captured graph ran

    @property
    def fraction(self) -> float:
        """Of the limit, median over rounds."""
        return float(np.median(self.fractions))

    @property
    def step_s(self) -> float:
        """Median."""
        return float(np.median(self.steps_s))

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "case": self.case.name, "step_s": self.step_s, "fraction": self.fraction,
            "fractions": self.fractions, "bound": self.bound, "parts": self.parts, "graph": self.graph,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What to measure, on what."""

    model_dir: Path
    scratch: Path
    options: EngineOptions
    threads: int
    rounds: int = 3


def measure(asked: Asked, cases: Sequence[Case], tell: Progress) -> tuple[list[Found], list[Rates]]:
    """Run every case in each round; what it reached of the rates measured just before and after it.

    Returns:
        The cases in the order given, and all rates.
    """
    found = [Found(case) for case in cases]
    rates: list[Rates] = []
    kinds = list(dict.fromkeys(case.kind for case in cases))
    for place, kind in enumerate(kinds):
        mine = [one for one in found if one.case.kind == kind]
        rig = _rig(asked, [one.case for one in mine])
        clock = Clock(rig.like.device, asked.threads)
        device = Device(_products(rig), rig.like, clock)
        for turn in range(asked.rounds):
            before = device.rates()
            for one in mine:
                tell((place + turn / asked.rounds) / len(kinds), f"round {turn + 1}: {one.case.name}")
                before = _try(one, rig, device, clock, (turn, before))
                rates.append(before)
        rig.engine.close()
    return found, rates


def _try(one: Found, rig: Rig, device: Device, clock: Clock, now: tuple[int, Rates]) -> Rates:
    """One case in one round; returns the rates after it."""
    turn, before = now
    rig.enter(one.case, seed=turn)
    steps = rig.steps(one.case, _STEPS, clock)[1 if one.case.decode else 0 :]
    rig.leave()
    after = device.rates()
    best = Rates(*(max(pair) for pair in zip(before, after, strict=True)))
    works = [rig.work(one.case, record) for _, record in steps]
    one.steps_s += [spent_s for spent_s, _ in steps]
    pairs = zip(works, steps, strict=True)
    one.fractions.append(float(np.median([work.least_s(*best) / spent_s for work, (spent_s, _) in pairs])))
    one.bound = works[0].bound(*best)
    one.graph = bool(steps[0][1].graph_tokens)
    if turn == 0:
        one.parts = _parts(one.case, rig, clock)
    return after


def _parts(case: Case, rig: Rig, clock: Clock) -> dict[str, float]:
    """Shares of a step by part."""
    rig.enter(case, seed=99)
    with watched(rig.engine, clock) as watch:
        whole_s = sum(spent_s for spent_s, _ in rig.steps(case, _STEPS, clock))
    rig.leave()
    shares = {part: spent_s / whole_s for part, spent_s in watch.seconds.items()}
    shares["rest"] = max(0.0, 1.0 - sum(shares.values()))
    return shares


def _rig(asked: Asked, cases: Sequence[Case]) -> Rig:
    from calibration.engine.config import read_architecture

    rank, _ = cases[0].kind
    shape = read_architecture(asked.model_dir).shape
    adapters = {}
    for index in range(max(case.adapters for case in cases)):
        folder = asked.scratch / f"r{rank}-{index}"
        if not (folder / "adapter_config.json").exists():
            write_adapter(shape, folder, rank, seed=index)
        adapters[f"r{rank}-{index}"] = folder
    return Rig(asked.model_dir, cases, asked.options, adapters)


def _products(rig: Rig) -> list[tuple[int, int]]:
    """(d_out, d_in) of a layer's packed matrices."""
    shape = rig.engine.architecture.shape
    found = []
    for modules in PACKED.values():
        sizes = [shape.linear_shape(module) for module in modules]
        found.append((sum(d_out for _, d_out in sizes), sizes[0][0]))
    return found
