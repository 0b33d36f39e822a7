"""End-to-end steps of a real engine over designed batches, and over mixtures, half of which no fit sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advisor.steptime.batch import Batch
from calibration.engine.engine import Engine
from calibration.engine.requests import StepRecord
from calibration.microbench.operations import ladder

HELD_OUT = "held-out"
MIXTURE = "mixture"


@dataclass(frozen=True, slots=True)
class Design:
    """So many sequences around one length, over so many adapters, for some answer tokens."""

    sequences: int
    prompt_tokens: int
    adapters: int
    output_tokens: int = 10

    @property
    def name(self) -> str:
        """Identifies the run among the samples."""
        return f"S{self.sequences}/P{self.prompt_tokens}/A{self.adapters}"


def designs(engine: Engine, adapters: Sequence[str], longest: int, seed: int) -> list[Design]:
    """What to run, in a random order, so that any part of it covers the range."""
    limits = engine.limits
    held = engine.options.kv_blocks * limits.kv_block_tokens
    longest = 3 * longest // 5
    lengths = sorted({8, longest // 8, longest // 3, longest})
    counts = sorted({0, 1, min(3, limits.max_loras), limits.max_loras} if adapters else {0})
    found = [
        Design(sequences, length, used)
        for sequences in ladder(limits.max_num_seqs)
        for length in lengths
        for used in counts
        if used <= min(sequences, len(adapters)) and sequences * (length + 16) <= held
    ]
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[i] for i in order]


def run_design(engine: Engine, design: Design, adapters: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """All its requests at once: prompt steps, mixed ones, decodes."""
    random = np.random.default_rng([seed, design.sequences, design.prompt_tokens, design.adapters])
    half = design.sequences // 2
    for index in range(design.sequences):
        if index == half and half:
            for _ in range(2):  # the rest come while these run, so that prompts meet decodes
                engine.step()
        name = adapters[index % design.adapters] if design.adapters else None
        share = 1.0 if design.sequences == 1 else 1 / 3 + 4 / 3 * index / (design.sequences - 1)
        length = max(2, round(design.prompt_tokens * share))
        _add(engine, random, length, design.output_tokens, name)
    return _until_done(engine)


def run_mixture(
    engine: Engine, adapters: Sequence[str], longest: int, requests: int, seed: int
) -> list[dict[str, Any]]:
    """Requests of many lengths that come while others run."""
    random = np.random.default_rng([seed, 99])
    vocab = engine.architecture.shape.vocab_size
    todo = []  # made before, as a server's requests are: a step lasts until the next one starts
    for _ in range(requests):
        length = int(np.clip(random.lognormal(np.log(longest / 4), 0.8), 4, longest))
        tuned = bool(adapters) and random.random() < 0.7
        name = adapters[int(random.integers(len(adapters)))] if tuned else None
        todo.append((random.integers(1, vocab, length).tolist(), name, int(random.integers(4, 40))))
    rate = 0.5 * engine.limits.max_num_seqs / 8 + 0.3
    before = len(engine.books.steps)
    while todo or engine.busy:
        for _ in range(min(len(todo), int(random.poisson(rate)))):
            tokens, name, output = todo.pop()
            engine.add_request(tokens, adapter=name, max_tokens=output, ignore_eos=True)
        for _ in range(int(random.integers(1, 6))):
            if engine.busy:
                engine.step()
    return list(_described(list(engine.books.steps)[before:]))


def _add(engine: Engine, random: Any, prompt: int, output: int, adapter: str | None) -> None:
    vocab = engine.architecture.shape.vocab_size
    tokens = random.integers(1, vocab, prompt).tolist()
    engine.add_request(tokens, adapter=adapter, max_tokens=output, ignore_eos=True)


def _until_done(engine: Engine) -> list[dict[str, Any]]:
    before = len(engine.books.steps)
    while engine.busy:
        engine.step()
    return list(_described(list(engine.books.steps)[before:]))


def _described(steps: Sequence[StepRecord]) -> Iterator[dict[str, Any]]:
    """From one step's start to the next one's, without adapter loads; the last step to its own end."""
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        end_s = step.end_s if after is None else after.start_s
        batch = step.batch
        yield {
            "decodes": batch.decodes, "context": batch.context_tokens,
            "chunks": [list(chunk) for chunk in batch.chunks],
            "outputs": batch.outputs, "gamma": batch.draft_length, "adapters": batch.adapters,
            "s": end_s - step.start_s - step.load_s, "draft_s": step.draft_s,
            "drafted": step.drafted_tokens, "model_s": step.model_s,
        }  # fmt: skip


def batch_of(step: dict[str, Any]) -> Batch:
    """The step as the step-time model describes it."""
    return Batch(
        int(step["decodes"]),
        int(step["context"]),
        tuple((int(q), int(c)) for q, c in step["chunks"]),
        int(step["outputs"]),
        int(step["gamma"]),
        int(step["adapters"]),
    )
