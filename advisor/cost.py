"""What a deployment costs: an hour, a million tokens."""

from __future__ import annotations

from dataclasses import dataclass

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Price of a whole deployment at the load it was sized for."""

    usd_per_hour: float
    usd_per_mtok: float | None
    usd_per_mtok_output: float | None


def cost_of(
    devices: float,
    usd_per_device_hour: float,
    tokens_per_s: float,
    output_tokens_per_s: float,
    *,
    beside_usd_per_hour: float = 0.0,
) -> Cost:
    """Price by the hour, and by the million tokens at this load, idle time included.

    Args:
        devices: rented devices; of a fleet that scales the mean.
        usd_per_device_hour: for one of them.
        tokens_per_s: prompt and output tokens of finished requests a second, over all replicas.
        output_tokens_per_s: output tokens alone.
        beside_usd_per_hour: what is paid beside the devices, such as a draft's training.
    """
    hourly = devices * usd_per_device_hour + beside_usd_per_hour

    def per_million(rate: float) -> float | None:
        return hourly / (rate * _SECONDS_PER_HOUR) * 1e6 if rate > 0 else None

    return Cost(hourly, per_million(tokens_per_s), per_million(output_tokens_per_s))
