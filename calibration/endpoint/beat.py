"""Whether the client itself was late: a wake-up every few milliseconds that should come on time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final

_EVERY_S: Final = 0.003
_LATE_S: Final = 0.0005
_ALLOWED: Final = 0.25


@dataclass(slots=True)
class Beat:
    """Spans in which this process could not read what had arrived, by `perf_counter`."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            due_s = perf_counter() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            now_s = perf_counter()
            if now_s - due_s > _LATE_S:
                self.spans.append((due_s, now_s))

    def spoils(self, begin_s: float, end_s: float) -> bool:
        """Whether one of the ends may be off by more than a quarter of the time between them."""
        longest = max(
            (high - low for low, high in self.spans if low <= end_s and high >= begin_s), default=0.0
        )
        return longest > _ALLOWED * (end_s - begin_s)
