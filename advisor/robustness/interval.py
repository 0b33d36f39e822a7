"""Where 90 % of draws lie."""

from __future__ import annotations

import math
from collections.abc import Sequence


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The values that 5 % and 95 % of the draws do not exceed (not interpolated: some may be infinite)."""
    ordered = sorted(values)
    low, high = (max(math.ceil(share * len(ordered)) - 1, 0) for share in (0.05, 0.95))
    return ordered[low], ordered[high]
