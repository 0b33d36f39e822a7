"""How long each waiting request was kept out by its adapter, without looking at every waiting request.

For every adapter a: B_a(t) = seconds until t in which all slots were pinned and a was not among them;
L_a(t) = seconds in which a was under way to its slot. A wait from t0 to t1 owes its adapter
B_a(t1) - B_a(t0), and its load L_a(t1) - L_a(t0). Both are kept lazily: full_s(t) = seconds in which all
slots were pinned; while a is out, B_a(t) = B_a(when it went out) + full_s(t) - full_s(when it went out).
"""

from __future__ import annotations


class BlockedTime:
    """B and L of one replica. The state is constant from one call of `settle` to the next."""

    __slots__ = (
        "_blocked_s",
        "_full_s",
        "_loaded_s",
        "_loading_since_s",
        "_out_at_s",
        "_pins",
        "_since_s",
        "full",
    )

    def __init__(self, pins: dict[int, int], now: float) -> None:
        """`pins` is read, and belongs to the adapter cache."""
        self._pins = pins
        self.full = False  # all slots are pinned
        self._full_s = 0.0
        self._since_s = now
        self._blocked_s: dict[int, float] = {}
        self._out_at_s: dict[int, float] = {}  # full_s when the adapter was unpinned last
        self._loaded_s: dict[int, float] = {}
        self._loading_since_s: dict[int, float] = {}

    def advance(self, now: float) -> None:
        """While all slots are pinned: count the time up to now, before anything changes."""
        self._full_s += now - self._since_s
        self._since_s = now

    def settle(self, full: bool, now: float) -> None:
        """The scheduler has decided; `advance` has been called for this moment if all slots were pinned."""
        self.full = full
        self._since_s = now

    def pinned(self, adapter: int) -> None:
        """It is among those that run or load."""
        self._blocked_s[adapter] = (
            self._blocked_s.get(adapter, 0.0) + self._full_s - self._out_at_s.get(adapter, 0.0)
        )

    def unpinned(self, adapter: int) -> None:
        """It is idle."""
        self._out_at_s[adapter] = self._full_s

    def load_begins(self, adapter: int, now: float) -> None:
        """It is under way."""
        self._loading_since_s[adapter] = now

    def load_ends(self, adapter: int, now: float) -> None:
        """It has arrived."""
        since = self._loading_since_s.pop(adapter)
        self._loaded_s[adapter] = self._loaded_s.get(adapter, 0.0) + now - since

    def blocked_s(self, adapter: int, now: float) -> float:
        """B at a time not before the last `advance`."""
        blocked = self._blocked_s.get(adapter, 0.0)
        if adapter in self._pins:
            return blocked
        full_s = self._full_s + (now - self._since_s if self.full else 0.0)
        return blocked + full_s - self._out_at_s.get(adapter, 0.0)

    def load_s(self, adapter: int, now: float) -> float:
        """L at a time not before the last `advance`."""
        loaded = self._loaded_s.get(adapter, 0.0)
        since = self._loading_since_s.get(adapter)
        return loaded if since is None else loaded + now - since
