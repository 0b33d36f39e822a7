"""Engines that several replays share, so that repeats can take turns without loading the model again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from calibration.livesetup import LiveSetup

if TYPE_CHECKING:
    from calibration.engine.engine import Engine

_MOST: Final = 6


class Engines:
    """At most six warm engines; the one that was used longest ago makes room."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], Engine] = {}

    def ready(self, setup: LiveSetup) -> Engine:
        """An idle engine of this set-up, its preloaded adapters used last, in their order."""
        key = _key(setup)
        engine = self._made.pop(key, None)
        if engine is None:
            engine = setup.engine()
            while len(self._made) >= _MOST:
                self._made.pop(next(iter(self._made))).close()
        self._made[key] = engine
        for name in setup.preload:
            engine.add_request([1, 2], adapter=name, max_tokens=2, ignore_eos=True)
            while engine.busy:
                engine.step()
        return engine

    def close(self) -> None:
        """End them all."""
        for engine in self._made.values():
            engine.close()
        self._made.clear()


def _key(setup: LiveSetup) -> tuple[object, ...]:
    """Everything that makes an engine, but for what is preloaded."""
    return (
        str(setup.model_dir), setup.limits.model_dump_json(), repr(setup.options),
        tuple((name, str(folder)) for name, folder in setup.adapters.items()), str(setup.merged),
    )  # fmt: skip
