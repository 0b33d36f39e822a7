"""The skipping engine held against the plain one: `python -m benchmarks.simulator_differential`.

Random fleets and traces with every feature on (tests/sim/scenarios.py), each simulated by both engines;
times, causes and counts must agree to 1e-9. CI runs 300 of them, this 10,000 (`--scenarios`). Where one
disagrees it is made as small as it goes, printed, and the exit code is 1. --write puts the counts into
docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, given, seed, settings

from benchmarks._page import ROOT, replace_block, table
from tests.sim.scenarios import Scenario, scenarios
from tests.sim.test_engines_agree import compare

PAGE = ROOT / "docs" / "performance.md"


def features(scenario: Scenario) -> list[str]:
    """What a scenario has."""
    fleet, limits, spec = scenario.fleet, scenario.fleet.replica.limits, scenario.fleet.replica.speculation
    has = {
        "several replicas": fleet.replicas > 1,
        "failures": bool(fleet.failures),
        "scaling": fleet.scaling is not None,
        "a horizon": fleet.horizon_s is not None,
        "adapters": bool(limits.max_loras),
        "drafts": spec is not None,
        "draft lengths by batch": spec is not None and bool(spec.schedule),
        "shared prefixes": scenario.trace.prefixes is not None,
        "priorities": limits.policy == "priority",
        "prompts first": limits.batching == "prompts_first",
        "one adapter a step": limits.batching == "one_adapter",
    }
    return [name for name, there in has.items() if there]


def main() -> int:
    """Run, count, and say what disagreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write the counts into docs/performance.md")
    asked = parser.parse_args()
    counts: Counter[str] = Counter()

    @seed(asked.seed)
    @settings(
        max_examples=asked.scenarios, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(scenarios())
    def run(scenario: Scenario) -> None:
        counts.update(["all", *features(scenario)])
        compare(scenario)

    begin_s = time.process_time()
    try:
        run()
    except AssertionError as error:
        print(error)
        return 1
    rows = [(name, f"{count:,}") for name, count in counts.most_common()]
    text = table(("random scenarios, both engines the same to 1e-9", f"seed {asked.seed}"), rows)
    print(f"{text}\n{time.process_time() - begin_s:.0f} CPU seconds")
    if asked.write:
        replace_block(PAGE, "differential", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
