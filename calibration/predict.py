"""The same set-up in the simulator, on a profile of the same engine."""

from __future__ import annotations

from advisor.errors import InputError
from advisor.profile import DraftTerm, ModelTerms, Profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup, SpecSetup
from advisor.spec.model import ALL_LINEAR, adapter_bytes
from advisor.spec.peft import adapter_from_folder
from advisor.spec.speculation import Acceptance
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import Trace
from calibration.livesetup import LiveSetup


def predict(
    profile: Profile,
    setup: LiveSetup,
    trace: Trace,
    *,
    base: Acceptance | None = None,
    adapter: Acceptance | None = None,
    seed: int = 0,
) -> SimResult:
    """Simulate what the live engine of this set-up would do with a trace.

    Args:
        profile: from `calibrate run`, of this model on this device.
        setup: the engine.
        trace: what is asked.
        base: acceptance of drafts for requests to the base; None: the profile's.
        adapter: the same for adapters; None: as for the base.
        seed: of drawn acceptance.

    Raises:
        InputError: the profile lacks a term that the set-up needs.
    """
    replica = replica_of(profile, setup, trace, base=base, adapter=adapter)
    return simulate_fleet(FleetSetup(replica=replica), trace, seed=seed)


def replica_of(
    profile: Profile,
    setup: LiveSetup,
    trace: Trace,
    *,
    base: Acceptance | None = None,
    adapter: Acceptance | None = None,
) -> ReplicaSetup:
    """The replica that the simulator is told to be.

    Raises:
        InputError: the set-up has slots or drafts of which the profile has no term.
    """
    terms, limits = profile.models[0], setup.limits
    if limits.max_loras and terms.lora is None:
        raise InputError(f"{profile.name}: has no LoRA term; calibrate with --max-loras above 0.")
    draft = _draft(profile, terms, setup)
    spec = None
    if draft is not None:
        known = base or draft.acceptance
        spec = SpecSetup(setup.options.draft_length, known, adapter or known)
    place = {name: index for index, name in enumerate(trace.adapters)}
    return ReplicaSetup(
        limits=limits,
        clock=ProfileClock(profile, terms, limits, draft=draft),
        kv_blocks=setup.options.kv_blocks,
        loads=_loads(profile, terms, setup, trace) if limits.max_loras else AdapterLoads((), ()),
        speculation=spec,
        frontend_s=profile.frontend.fixed_s,
        frontend_per_prompt_token_s=profile.frontend.per_prompt_token_s,
        preloaded=tuple(place[name] for name in setup.preload if name in place),
    )


def _loads(profile: Profile, terms: ModelTerms, setup: LiveSetup, trace: Trace) -> AdapterLoads:
    disk, slot = profile.load("disk_to_cpu"), profile.load("cpu_to_slot")
    copy_s = slot.seconds(adapter_bytes(terms.model, ALL_LINEAR, setup.limits.max_lora_rank))
    read_s = []
    for name in trace.adapters:
        rank = adapter_from_folder(setup.adapters[name]).rank
        read_s.append(disk.seconds(adapter_bytes(terms.model, ALL_LINEAR, rank)))
    return AdapterLoads(tuple(read_s), (copy_s,) * len(read_s))


def _draft(profile: Profile, terms: ModelTerms, setup: LiveSetup) -> DraftTerm | None:
    how = setup.options.draft
    if how is None:
        return None
    method = "draft_model" if hasattr(how, "model_dir") else "ngram"
    for term in terms.drafts:
        if term.method == method:
            return term
    raise InputError(f"{profile.name}: has no cost of drafting by {method}; calibrate with --draft.")
