"""Knobs that may save a replica: tried where the limit is near, not where it is missed by far."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.search.knobs import start_limits, with_slots
from advisor.search.pools import SizedPlan
from advisor.search.saving import slotted, stepped
from advisor.search.trial import Plan, traffic_for
from advisor.search.work import sizer_of
from advisor.trace.scale import faster
from tests.questions import question
from tests.search.variants import variant_of


@pytest.mark.parametrize(("load", "is_tried"), [(1.0, True), (60.0, False)], ids=["holds", "far too much"])
def test_knobs_are_tried_only_where_the_limit_is_near(load: float, is_tried: bool) -> None:
    asked = question(search={"requests": 100})
    heavy = faster(asked.trial, load)
    asked = replace(asked, trial=heavy, whole=heavy)
    sizer, variant = sizer_of(asked), variant_of(asked, "multi-lora")
    (traffic,) = traffic_for(variant, asked.trial, asked.adapters.names)
    plan = Plan(variant, with_slots(asked, variant, start_limits(asked, variant), 12), (2,))
    sized = SizedPlan(plan, sizer.runner.run(plan, (traffic,), sizer.duration_s), False, 1)
    assert sized.trial.holds is is_tried
    before = sizer.runner.simulations
    found = stepped(sizer, slotted(sizer, sized, traffic, 1), traffic, 1)
    runs = sizer.runner.simulations - before
    assert (runs > 2) is is_tried
    assert (found is not sized) is is_tried
