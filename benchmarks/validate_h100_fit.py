"""The imported H100 profile against a published step-time fit: `python -m benchmarks.validate_h100_fit`.

Prints a table and writes it into docs/validation.md. Needs nothing but the shipped profile.
"""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np

from advisor.catalog.shapes import model
from advisor.datafiles import data_dir
from advisor.errors import AdvisorError
from advisor.profile import Profile, load_profile
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.steptime.terms import terms_for
from benchmarks._page import ROOT, replace_block, table

PAGE = ROOT / "docs" / "validation.md"
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTEXTS = (256, 512, 1024, 2048, 4096, 8192)

KV_TOKENS = 450_000
"""About what an H100 with 80 GB holds beside this model in bfloat16; larger steps exist in formulas alone."""


def published_s(tokens: int, kv_tokens: int) -> float:
    """Step of Llama-3.1-8B in bfloat16 on one H100 with vLLM, its overhead included.

    t = 5.886 ms + 21.0 µs · tokens + 0.0393 µs · KV tokens + 1.21 ms
    Source: SpecDecode-Bench simulator, April 2026, arXiv 2601.11580 (facts.md 4.1).
    """
    return 5.886e-3 + 21.0e-6 * tokens + 0.0393e-6 * kv_tokens + 1.21e-3


@click.command(help=__doc__)
def main() -> None:
    """Compare, print, write."""
    try:
        text = compare(load_profile(data_dir() / "profiles" / "h100_sxm-vllm.json"))
        print(text)
        replace_block(PAGE, "h100-fit", text)
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def compare(profile: Profile) -> str:
    """Our step in milliseconds, and how far from theirs, over batch and context of each sequence."""
    terms = terms_for(profile, model("Llama-3.1-8B"), 1)
    clock = ProfileClock(profile, terms, EngineLimits(max_num_seqs=BATCHES[-1], max_num_batched_tokens=2048))
    rows, off = [], []
    for batch in BATCHES:
        cells = []
        for context in CONTEXTS:
            ours = sum(clock.parts(Batch(batch, batch * context, outputs=batch)))
            difference = ours / published_s(batch, batch * context) - 1.0
            fits = batch * context <= KV_TOKENS
            cells.append(f"{1e3 * ours:.1f} ({100 * difference:+.0f} %)" + ("" if fits else " *"))
            if fits:
                off.append(difference)
        rows.append((str(batch), *cells))
    head = ("sequences", *(f"context {context}" for context in CONTEXTS))
    return f"{table(head, rows)}\n{_words(off)}\n"


def _words(off: Sequence[float]) -> str:
    away = np.abs(off)
    return (
        f"Milliseconds a decode step, difference to the published fit in brackets. Over the {len(off)} cells "
        f"that fit into the memory: median {100 * float(np.median(off)):+.1f} %, median of the absolute "
        f"{100 * float(np.median(away)):.1f} %, largest {100 * float(away.max()):.0f} %. "
        f"(* does not fit beside the weights on 80 GB.)"
    )


if __name__ == "__main__":
    main()
