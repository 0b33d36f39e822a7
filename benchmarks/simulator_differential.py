"""The skipping engine against the plain one on as many random scenarios as you like.

    python -m benchmarks.simulator_differential [--scenarios 10000] [--seed 0]

Scenarios are those of `tests/sim/scenarios.py`, one a seed: `--scenarios 1 --seed N` runs number N again.
Exit status 1 if the engines disagree anywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator

from tests.sim.agreement import assert_engines_agree
from tests.sim.scenarios import Scenario, scenario_of


def features(scenario: Scenario) -> Iterator[str]:
    """What is switched on in a scenario, in the words of its set-up."""
    fleet, replica = scenario.fleet, scenario.fleet.replica
    yield f"batching {replica.limits.batching}"
    yield f"policy {replica.limits.policy}"
    if scenario.trace.adapters:
        yield f"adapters, {replica.limits.load_mode} loads"
    speculation = replica.speculation
    if speculation:
        yield "speculation"
    if speculation and speculation.schedule:
        yield "draft lengths by batch"
    switches = {
        "shared prefixes, cached": scenario.trace.prefixes is not None and replica.limits.prefix_caching,
        "several replicas": fleet.replicas > 1,
        "failures": bool(fleet.failures),
        "scaling": fleet.scaling is not None,
        "horizon": fleet.horizon_s is not None,
    }
    yield from (name for name, on in switches.items() if on)


def disagreement(scenario: Scenario) -> str | None:
    """In which column the engines differ and by how much, or None."""
    try:
        assert_engines_agree(scenario)
    except AssertionError as error:
        return str(error).strip() or "what lived or how many gaps there were"
    return None


def main() -> int:
    """Run them and print counts, and the first disagreement with the command that repeats it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="number of the first scenario")
    wish = parser.parse_args()
    seen: Counter[str] = Counter()
    requests, failed, first = 0, 0, ""
    begin_s = time.process_time()
    for seed in range(wish.seed, wish.seed + wish.scenarios):
        scenario = scenario_of(seed)
        seen.update(features(scenario))
        requests += len(scenario.trace.arrival_s)
        words = disagreement(scenario)
        if words is not None:
            failed += 1
            repeat = f"python -m benchmarks.simulator_differential --scenarios 1 --seed {seed}"
            first = first or f"first disagreement: {repeat}\n{words}"
    cpu_s = time.process_time() - begin_s
    print(f"{wish.scenarios:,} scenarios, {requests:,} requests, {failed:,} disagreements, {cpu_s:.0f} CPU s")
    for name, count in sorted(seen.items()):
        print(f"  {count:7,} with {name}")
    if first:
        print(first)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
