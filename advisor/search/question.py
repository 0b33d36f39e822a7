"""A scenario with everything looked up: model, adapters, traffic, engine, and what each device costs."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.catalog.capabilities import engine as catalog_engine
from advisor.catalog.hardware import device
from advisor.catalog.prices import price_of
from advisor.catalog.resolve import resolve_model
from advisor.catalog.tables import NotInCatalogError
from advisor.errors import InputError
from advisor.profile import Profile, find_datasheets, find_profiles, load_profile, profile_head
from advisor.recommendation import WorkloadFacts
from advisor.spec.adapterset import AdapterSet, resolve_adapters
from advisor.spec.engine import EngineCapability
from advisor.spec.model import ModelShape
from advisor.spec.price import DevicePrice
from advisor.spec.scenario import Scenario
from advisor.trace.realise import trace_of
from advisor.trace.scale import take
from advisor.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Offer:
    """A device with its profile and its price; no price: it is ranked last with that reason."""

    profile: Profile
    price: DevicePrice | None


@dataclass(frozen=True, slots=True)
class Question:
    """What the search works on."""

    scenario: Scenario
    model: ModelShape
    adapters: AdapterSet
    engine: EngineCapability
    offers: tuple[Offer, ...]
    whole: Trace
    trial: Trace  # a stretch of `whole` for the search: about its mean rate, or its peak if fleets may scale
    folder: Path = Path()  # where relative paths of the scenario start

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of each adapter of the trace, by its index there."""
        known = dict(zip(self.adapters.names, self.adapters.ranks, strict=True))
        return tuple(known.get(name, max(self.adapters.ranks, default=0)) for name in self.whole.adapters)


def resolve(scenario: Scenario, profiles: Sequence[Profile] | None, folder: Path) -> Question:
    """Look everything up.

    Args:
        scenario: what the user wrote.
        profiles: devices with engines to choose from; None: the shipped ones.
        folder: where relative paths of the scenario start.

    Raises:
        InputError: an unknown name, a bad file, or no profile that fits the engine and the devices allowed.
    """
    model = resolve_model(scenario.model, folder)
    adapters = resolve_adapters(scenario.adapters, folder)
    engine = catalog_engine(scenario.engine.name, scenario.engine.version)
    whole = trace_of(
        scenario.workload,
        adapters.names,
        adapters.shares,
        adapters.base_share,
        seed=scenario.seed,
        folder=folder,
    )
    if not len(whole):
        raise InputError(
            "workload: holds no request; allowed: at least one. Lengthen its duration or raise its rate."
        )
    offers = _offers(scenario, shipped_for(scenario, engine) if profiles is None else profiles, engine)
    trial = decisive_stretch(scenario, whole, scenario.search.requests)
    return Question(scenario, model, adapters, engine, offers, whole, trial, folder)


def shipped() -> tuple[Profile, ...]:
    """All profiles that come with the program."""
    return tuple(load_profile(path) for path in find_profiles().values())


def shipped_for(scenario: Scenario, engine: EngineCapability) -> tuple[Profile, ...]:
    """The shipped profiles that a scenario may use: those of its engine, and of its devices if all are there.

    A device that nobody measured is taken by its datasheet, and only if the scenario names it: nobody is
    advised from an estimate unasked.

    Raises:
        InputError: the scenario names an unknown device.
    """
    heads = {path: profile_head(path) for path in find_profiles().values()}
    mine = [path for path, head in heads.items() if head is None or head.engine == engine.name]
    named = _named(scenario, {head.device for head in heads.values() if head})
    measured = {head.device for path in mine if (head := heads[path])}
    mine += [path for name, path in _by_datasheet(engine).items() if name in named - measured]
    heads |= {path: profile_head(path) for path in mine if path not in heads}
    wanted = [path for path in mine if (head := heads[path]) is None or head.device in named]
    if named and named <= {head.device for path in wanted if (head := heads[path])}:
        mine = wanted
    return tuple(load_profile(path) for path in mine)


def with_datasheets(scenario: Scenario, profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """The shipped profiles given, and those of datasheets that `shipped_for` would take for this scenario."""
    if not scenario.devices:
        return tuple(profiles)
    engine = catalog_engine(scenario.engine.name, scenario.engine.version)
    measured = {profile.device.name for profile in profiles if profile.engine == engine.name}
    missing = _named(scenario, {profile.device.name for profile in profiles}) - measured
    more = [path for name, path in _by_datasheet(engine).items() if name in missing]
    return (*profiles, *(load_profile(path) for path in more))


def _named(scenario: Scenario, known: set[str]) -> set[str]:
    """The scenario's devices by their names in the catalog (InputError: an unknown one)."""
    known = known | {own.name for own in scenario.own_devices}
    return {name if name in known else device(name).name for name in scenario.devices}


def _by_datasheet(engine: EngineCapability) -> dict[str, Path]:
    """Devices of which a datasheet profile of this engine is shipped."""
    heads = {path: profile_head(path) for path in find_datasheets().values()}
    return {head.device: path for path, head in heads.items() if head and head.engine == engine.name}


def _offers(scenario: Scenario, profiles: Sequence[Profile], engine: EngineCapability) -> tuple[Offer, ...]:
    by_device: dict[str, list[Profile]] = {}
    for profile in profiles:
        if profile.engine == engine.name:
            by_device.setdefault(profile.device.name, []).append(profile)
    known = {other.name for other in scenario.own_devices} | set(by_device)
    named = tuple(name if name in known else device(name).name for name in scenario.devices)
    wanted = named or tuple(sorted(by_device))
    missing = [name for name in wanted if name not in by_device]
    if missing or not wanted:
        raise InputError(
            f"devices is {', '.join(missing) or 'empty'}; allowed with engine {engine.name}: "
            f"{', '.join(sorted(by_device)) or 'none'}{_also(engine, by_device)}. Calibrate the device "
            "(`calibrate datasheet` predicts it), or choose from these."
        )
    offers = []
    for name in wanted:
        newest = max(by_device[name], key=lambda one: (one.method != "datasheet", one.created))
        price = _price(name, scenario)
        if price is not None or scenario.devices:
            offers.append(Offer(newest, price))
    return tuple(offers)


def _also(engine: EngineCapability, measured: Container[str]) -> str:
    """What may be named besides, for the sentence that says what is allowed."""
    more = [name for name in _by_datasheet(engine) if name not in measured]
    return f"; by datasheet alone, if named: {', '.join(sorted(more))}" if more else ""


def _price(device: str, scenario: Scenario) -> DevicePrice | None:
    """The price to reckon with; None where nobody names one for this device under the scenario's wishes."""
    try:
        return price_of(device, scenario.prices)
    except NotInCatalogError:
        return None


def decisive_stretch(scenario: Scenario, trace: Trace, requests: int) -> Trace:
    """What fixed fleets are sized on: the typical stretch, or the busiest where fleets may scale."""
    chosen = typical_stretch if scenario.autoscaling is None else busiest_stretch
    return chosen(trace, requests)


def typical_stretch(trace: Trace, requests: int) -> Trace:
    """The stretch of this many requests whose rate is nearest to the mean rate, from time 0."""
    count = len(trace)
    if count <= requests:
        return trace
    starts = np.arange(0, count - requests + 1, max(1, requests // 4))
    spans = trace.arrival_s[starts + requests - 1] - trace.arrival_s[starts]
    start = int(starts[np.argmin(np.abs(spans - (requests - 1) / trace.rate_rps))])
    return stretch(trace, start, start + requests)


def busiest_stretch(trace: Trace, requests: int) -> Trace:
    """The stretch of this many requests that takes the least time, from time 0."""
    count = len(trace)
    if count <= requests:
        return trace
    spans = trace.arrival_s[requests - 1 :] - trace.arrival_s[: count - requests + 1]
    start = int(np.argmin(spans))
    return stretch(trace, start, start + requests)


def stretch(trace: Trace, start: int, stop: int) -> Trace:
    """Requests start..stop-1 with arrivals shifted so that the first comes at once."""
    return take(trace, np.arange(start, stop))


def facts_of(question: Question) -> WorkloadFacts:
    """Describe the traffic that the advice is for."""
    trace = question.whole
    used, counts = np.unique(trace.adapter[trace.adapter >= 0], return_counts=True)
    return WorkloadFacts(
        requests=len(trace),
        rate_rps=trace.rate_rps,
        prompt_tokens_mean=float(trace.prompt_tokens.mean()),
        prompt_tokens_p99=float(np.percentile(trace.prompt_tokens, 99)),
        output_tokens_mean=float(trace.output_tokens.mean()),
        output_tokens_p99=float(np.percentile(trace.output_tokens, 99)),
        adapters_deployed=len(question.adapters.names),
        adapters_active=len(used),
        top_adapter_share=float(counts.max() / len(trace)) if len(counts) else 0.0,
        notes=trace.notes,
    )
