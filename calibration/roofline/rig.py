"""A live engine in any state at once: prompts that are taken for computed, drafts that always match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from advisor.spec.engine import EngineLimits
from calibration.engine.batch import Row
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.engine.requests import StepRecord
from calibration.engine.speculate import NgramDraft
from calibration.roofline.cases import BUDGET, MOST_SEQUENCES, Case
from calibration.roofline.clock import Clock
from calibration.roofline.work import Work, work_of

_SPARE_TOKENS = 256
_MOST_STEPS = 100


class Rig:
    """One engine for all cases of a kind (`Case.kind`)."""

    def __init__(
        self, model_dir: Path, cases: Sequence[Case], options: EngineOptions, adapters: dict[str, Path]
    ) -> None:
        """Make the engine, room for the largest of its cases, every block of KV filled with numbers.

        Args:
            model_dir: weights.
            cases: of one kind.
            options: device, dtype and graphs; blocks and draft follow from the cases.
            adapters: folders of adapters of the kind's rank.
        """
        rank, gamma = cases[0].kind
        blocks = max(case.sequences * -(-(case.tokens + _SPARE_TOKENS) // 16) for case in cases)
        limits = EngineLimits(
            max_num_seqs=MOST_SEQUENCES,
            max_num_batched_tokens=BUDGET,
            max_loras=len(adapters),
            max_cpu_loras=len(adapters),
            max_lora_rank=rank,
            prefix_caching=False,
        )
        draft = NgramDraft(gamma) if gamma else None
        made = EngineOptions(blocks, options.dtype, options.device, draft, graphs=options.graphs)
        self.engine = Engine(model_dir, limits, adapters, made)
        self.rank = rank
        self._circles: dict[tuple[int, ...], Tensor] = {}
        cache = self.engine._cache
        with torch.inference_mode():  # pages that nobody wrote would be read from one page of zeros
            cache.keys.normal_(0.0, 0.02)
            cache.values.normal_(0.0, 0.02)
        self._warm_up(adapters)

    @property
    def like(self) -> Tensor:
        """A tensor of the weights' device and dtype."""
        return self.engine._model.weights.embedding

    def enter(self, case: Case, seed: int) -> None:
        """Bring the engine to where the case's steps begin. Decodes: prompts are booked, not computed."""
        random = np.random.default_rng(seed)
        vocab = self.engine.architecture.shape.vocab_size
        names = self.engine.adapters[: case.adapters]
        for index in range(case.sequences):
            prompt = random.integers(1, vocab, case.tokens).tolist()
            adapter = names[index % len(names)] if names else None
            most = _SPARE_TOKENS - 8 if case.decode else 1
            self.engine.add_request(prompt, adapter=adapter, max_tokens=most, ignore_eos=True)
        if not case.decode:
            return
        with self._answers(compute=False):
            for _ in range(_MOST_STEPS):
                self.engine.step()
                if self._all_decode(case):
                    return
        raise RuntimeError(f"{case.name}: not all of it decodes after {_MOST_STEPS} steps")

    def leave(self) -> None:
        """Forget whatever is under way."""
        for index in list(self.engine._live):
            self.engine.abort(index)

    def steps(self, case: Case, count: int, clock: Clock) -> list[tuple[float, StepRecord]]:
        """Seconds and record of each step; prompts have one alone."""
        found = []
        with self._answers(compute=True) if case.draft_length else _as_is():
            for _ in range(count if case.decode else 1):
                spent_s = clock.seconds(self.engine.step)
                found.append((spent_s, self.engine.books.steps[-1]))
        return found

    def work(self, case: Case, record: StepRecord) -> Work:
        """What that step had to do."""
        tuned = record.batch.tokens if case.adapters else 0
        return work_of(
            self.engine.architecture.shape,
            record.batch,
            rank=self.rank,
            tuned_tokens=tuned,
            element_bytes=self.like.element_size(),
        )

    def _all_decode(self, case: Case) -> bool:
        """Whether every prompt is through, and every draft of the last step was there."""
        if any(one.first_token_s is None for one in self.engine._live.values()):
            return False
        return self.engine.books.steps[-1].drafted_tokens == case.sequences * case.draft_length

    def _warm_up(self, adapters: dict[str, Path]) -> None:
        for name in (None, *adapters):
            self.engine.add_request([1, 2, 3, 4], adapter=name, max_tokens=4, ignore_eos=True)
        while self.engine.busy:
            self.engine.step()

    @contextmanager
    def _answers(self, *, compute: bool) -> Iterator[None]:
        """Tokens go round in a circle of γ + 1, whatever was computed: drafts match, and all are kept."""
        runner: Any = self.engine._runner
        true_forward = runner.forward

        def forward(model: Any, batch: Sequence[Row], *rest: Any) -> Tensor:
            if compute:
                true_forward(model, batch, *rest)
            circle = self.engine.options.draft_length + 1
            tokens = []
            for row in batch:
                end = row.context + len(row.tokens)
                tokens += [1 + place % circle for place in range(end - row.outputs, end)]
            return self._circle(tuple(tokens))

        with patch.object(runner, "forward", forward):
            yield

    def _circle(self, tokens: tuple[int, ...]) -> Tensor:
        """Logits that choose these tokens; kept, since sequences in step ask for the same ones again."""
        if tokens not in self._circles:
            vocab = self.engine.architecture.shape.vocab_size
            made = torch.zeros(len(tokens), vocab, device=self.like.device)
            made[range(len(tokens)), list(tokens)] = 1.0
            self._circles[tokens] = made
        return self._circles[tokens]


@contextmanager
def _as_is() -> Iterator[None]:
    yield
