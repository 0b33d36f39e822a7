"""What the simulator says of the field's claims: `python -m benchmarks.claims` writes half of docs/claims.md.

Needs nothing but the shipped H100 profile; takes about half a minute. It writes docs/claims/simulated.json,
and the page anew with what `calibrate claims --out docs/claims` measured, if that is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import click

from advisor.errors import AdvisorError
from benchmarks import _claims_fleet, _claims_one
from benchmarks._claims_bench import ANSWER_TOKENS, MODEL, PROFILE, PROMPT_TOKENS, Bench
from benchmarks._page import ROOT
from calibration.claims.page import Simulated, SimulatedClaim, folder_of, save_simulated, write_page

PAGE = ROOT / "docs" / "claims.md"
LIVE = "calibrate claims --out docs/claims --page docs/claims.md"


class Claim(NamedTuple):
    """A row: what is said, the experiment, what became of it."""

    number: str
    words: str
    tables: Callable[[Bench], str]
    verdict: str
    stops: str


CLAIMS = (
    Claim(
        "C1",
        "An unmerged LoRA is slower than its base",
        _claims_one.latency,
        "True at every load, first token and every further one.",
        "Nowhere in this table. The gap is smallest when one request runs alone, and grows with the number "
        "of adapters that happen to share a step, not with load as such (C4).",
    ),
    Claim(
        "C2",
        "The first request of a cold adapter pays a load, tens of ms on a GPU; repeats amortise it",
        _claims_one.cold_start,
        "True, with two prices: from disk around a tenth of a second (more at high rank), from CPU memory "
        "under 15 ms. After a hundred requests it is lost in the noise.",
        "Where slots are fewer than the adapters in use, the load is paid again and again, and by everybody: "
        "vLLM loads inside the step, so the whole batch waits.",
    ),
    Claim(
        "C3",
        "Prompt processing takes 10-30 % longer unmerged",
        _claims_one.prompts,
        "True with a few slots, at any rank in use: the rank hardly matters, padding to it costs little.",
        "With many slots. The kernels of the engine that the slot term was fitted to start a tile for "
        "every reserved slot and token tile, used or not: 32 slots already leave the range, 128 leave it "
        "far behind.",
    ),
    Claim(
        "C4",
        "The decode overhead grows with concurrency; small at a few requests per second; maximum "
        "throughput is lower",
        _claims_one.concurrency,
        "Growth and lower maximum: true. Small at a few requests per second: not here, a quarter at batch 1.",
        "The ratio turns around once all adapters are in the batch: further sequences cost the base "
        "something and the adapters nothing. Fewer slots cap the distinct adapters of a step and cost "
        "least throughput when the engine is full, at the price of waiting.",
    ),
    Claim(
        "C5",
        "Performance hardly depends on how many adapters are deployed",
        _claims_one.deployed,
        "True to the last digit for adapters that nobody asks for; false for adapters in use, even "
        "before the slots run out, because each distinct one in a step costs.",
        "At the number of slots: with more adapters in use than that, requests wait for a slot. With a "
        "CPU cache no larger than the slots each miss is a read from disk, and it breaks sooner and "
        "harder.",
    ),
    Claim(
        "C6",
        "Merged equals base in latency, and needs less memory",
        _claims_one.merged,
        "True: the same engine with other weights.",
        "Memory matters only where slots are many or wide; a handful of rank-16 slots costs a few sequences. "
        "What merging does to quality (rounding of a small delta) is another question, for a later issue.",
    ),
    Claim(
        "C7",
        "Speculative decoding can make a fine-tuned model faster than its plain base; a draft that does "
        "not know the fine-tune loses acceptance, a custom one regains it",
        _claims_fleet.speculation,
        "True: with a custom head a merged fine-tune decodes well below its plain base. A stock head on a "
        "light or domain shift still pays.",
        "With a heavy shift at large batches: the verify step then costs more than the tokens that it "
        "yields. Acceptance is published for the base; what a shift leaves of it is an assumption.",
    ),
    Claim(
        "C8",
        "Shared serverless is slower than dedicated under load",
        _claims_fleet.tenants,
        "True, in three steps: unmerged kernels (others silent), other tenants' adapters in the same "
        "step, then queueing.",
        "Beside few others the price is small in absolute terms. A provider adds replicas; here one "
        "replica is left to overload, to show the shape. Network and cold starts of replicas are not in "
        "it.",
    ),
    Claim(
        "C9",
        "Multi-LoRA is efficient for many variants, merging is limited to one model a deployment",
        _claims_fleet.money,
        "True up to a load: with little traffic an adapter, multi-LoRA costs a fraction of as many "
        "deployments.",
        "Merging wins where each adapter fills replicas of its own, the right end of each row: the "
        "break-even load grows with the number of adapters.",
    ),
)

_INTRODUCTION = (
    "`python -m benchmarks.claims` writes this half; its figures are simulated. Bench: "
    f"{MODEL} on one {{device}} with vLLM {{version}} as it comes (profile `{PROFILE}`), {PROMPT_TOKENS} "
    f"tokens in and {ANSWER_TOKENS} out, Poisson arrivals, adapters evenly popular, rank 16 unless said. "
    "The LoRA term of that profile is *estimated* (interval 0.3 to 1.3: small-rank products of this GPU, "
    "groups and slots of an older vLLM), so ratios can be that far off; orders and turning points are "
    "what to read.\n"
)


@click.command(help=__doc__)
def main() -> None:
    """Simulate and write the page."""
    try:
        from calibration.claims.whole import load_results

        save_simulated(half(Bench()), PAGE)
        write_page(load_results(folder_of(PAGE)), PAGE, LIVE)
    except AdvisorError as error:
        raise SystemExit(str(error)) from None
    print(f"wrote {PAGE.relative_to(ROOT)}")


def half(bench: Bench) -> Simulated:
    """The half of the page that is simulated."""
    introduction = _INTRODUCTION.format(
        device=bench.profile.device.name, version=bench.profile.engine_version
    )
    return Simulated(
        introduction=introduction,
        claims=tuple(
            SimulatedClaim(
                claim=claim.number,
                statement=claim.words,
                verdict=claim.verdict,
                where_it_stops=claim.stops,
                tables=claim.tables(bench).strip(),
            )
            for claim in CLAIMS
        ),
    )


if __name__ == "__main__":
    main()
