"""Runs the probes and turns answers into samples."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from calibration.endpoint.answer import Answer
from calibration.endpoint.ask import Prober
from calibration.endpoint.beat import Beat
from calibration.endpoint.overhead import Overhead
from calibration.endpoint.plan import SHORT, STEPS, Probe, spread
from calibration.endpoint.prompts import Prompts
from calibration.endpoint.samples import Findings, Kind, Sample

_PIECE_STEPS = 8
_SETTLE_STEPS = 4
"""Left out after all streams run: parts that were late while prompts were sent come bunched."""
_BESIDE = 3
"""Prompts that are sent beside one running stream."""


@dataclass(slots=True)
class Sweep:
    """One server under measurement."""

    prober: Prober
    prompts: Prompts
    adapters: Sequence[str]  # the server's names
    overhead: Overhead
    budget_tokens: int
    findings: Findings = field(default_factory=Findings)
    beat: Beat = field(default_factory=Beat)

    async def probe(self, probe: Probe) -> None:
        """Ask one probe and keep what it says (SpentError: nothing more may be sent)."""
        if probe.kind == "ttft":
            await self._first_token(probe)
        elif probe.kind == "beside":
            await self._beside(probe)
        else:
            await self._streams(probe)

    async def _first_token(self, probe: Probe) -> None:
        name = self.adapters[0] if probe.adapters else None
        answer = await self.prober.ask(self.prompts.next(probe.prompt_tokens), 1, name)
        self.seen(answer)
        tokens = answer.prompt_tokens if answer.prompt_tokens > 0 else probe.prompt_tokens
        seconds = answer.ttft_s - self.overhead.of(tokens)
        self._keep(Sample("ttft", seconds, tokens, adapters=probe.adapters), answer.sent_s, answer.part_s[0])

    async def _streams(self, probe: Probe) -> None:
        names = spread(self.adapters, probe.adapters, probe.streams)
        waits = 2 + probe.streams * probe.prompt_tokens // self.budget_tokens
        answers = await self.together([probe.prompt_tokens] * probe.streams, STEPS + waits, names)
        self.keep_steps(answers, names, "decode")

    async def together(
        self, prompt_tokens: Sequence[int], tokens: int, names: Sequence[str | None]
    ) -> list[Answer]:
        """Ask so many at once and wait for all."""
        asked = [
            asyncio.ensure_future(self.prober.ask(self.prompts.next(length), tokens, name))
            for length, name in zip(prompt_tokens, names, strict=True)
        ]
        try:
            answers = list(await asyncio.gather(*asked))
        except BaseException:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            raise
        for answer in answers:
            self.seen(answer)
        return answers

    def keep_steps(self, answers: Sequence[Answer], names: Sequence[str | None], kind: Kind) -> None:
        """Samples of the time in which all streams decode: mean step of every few steps.

        Where a part holds several tokens (speculation), a step is the time of one token.
        """
        low = max(answer.part_s[0] for answer in answers)
        high = min(answer.part_s[-1] for answer in answers)
        clock = max(answers, key=lambda answer: answer.part_s[0])
        a_part = float(np.mean([answer.tokens_a_part for answer in answers]))
        times = [at for at in clock.part_s if low <= at <= high]
        adapters = len({name for name in names if name is not None})
        for begin in range(_SETTLE_STEPS, len(times) - _PIECE_STEPS, _PIECE_STEPS):
            start, end = times[begin], times[begin + _PIECE_STEPS]
            context = sum(
                max(answer.prompt_tokens, 0)
                + answer.tokens_a_part * float(np.searchsorted(answer.part_s, 0.5 * (start + end)))
                for answer in answers
            )
            step_s = (end - start) / _PIECE_STEPS / a_part
            sample = Sample(kind, step_s, decodes=len(answers), context_tokens=context, adapters=adapters)
            self._keep(sample, start, end)

    def _keep(self, sample: Sample, begin_s: float, end_s: float) -> None:
        """Unless the client was late; how often is counted."""
        facts = self.findings.facts
        if sample.seconds <= 0 or self.beat.spoils(begin_s, end_s):
            facts["spoilt"] = facts.get("spoilt", 0) + 1
        else:
            self.findings.samples.append(sample)

    async def _beside(self, probe: Probe) -> None:
        """Prompts beside a running stream: the stream's gap that ends with the prompt's first token."""
        begun = asyncio.Event()
        length = STEPS * (_BESIDE + 1)
        stream = asyncio.ensure_future(self.prober.ask(self.prompts.next(SHORT), length, begun=begun))
        asked: list[Answer] = []
        try:
            waiting = asyncio.ensure_future(begun.wait())
            await asyncio.wait({stream, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            while len(asked) < _BESIDE and not stream.done():
                asked.append(await self.prober.ask(self.prompts.next(probe.prompt_tokens), 1))
            answer = await stream
        finally:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)
        self.seen(answer)
        for prompt in asked:
            self._gap(answer, prompt)

    def _gap(self, stream: Answer, prompt: Answer) -> None:
        """The gap in which the prompt was computed: nearest to its first token, which the same step made.

        Where prompts have steps of their own it is the gap that holds the first token.
        """
        apart = self.prober.target.kind.prompts_apart
        times = np.asarray(stream.part_s)
        at = int(np.argmin(np.abs(times - prompt.part_s[0])))
        if apart:
            at = int(np.searchsorted(times, prompt.part_s[0]))
        if not 0 < at < len(stream.part_s) - 1 or stream.part_s[at - 1] < prompt.sent_s:
            return
        context = max(stream.prompt_tokens, 0) + stream.tokens_a_part * at
        begin_s, end_s = stream.part_s[at - 1], stream.part_s[at]
        tokens = max(prompt.prompt_tokens, 1)
        kind: Kind = "apart" if apart else "beside"
        sample = Sample(kind, end_s - begin_s, tokens, decodes=1, context_tokens=context)
        self._keep(sample, begin_s, end_s)

    def seen(self, answer: Answer) -> None:
        """What every answer says beside its times."""
        facts = self.findings.facts
        facts["cached_tokens"] = facts.get("cached_tokens", 0) + answer.cached_tokens
        facts["prompt_tokens"] = facts.get("prompt_tokens", 0) + max(answer.prompt_tokens, 0)
        if answer.output_tokens > 1:
            facts["output_tokens"] = facts.get("output_tokens", 0) + answer.output_tokens
            facts["parts"] = facts.get("parts", 0) + len(answer.part_s)
