"""How long a replica takes from the decision to start it until it serves."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from advisor.profile import Profile
from advisor.spec.spec import Origin, Spec

ENGINE_START_S: Final = 64.0
_ENGINE_SOURCE: Final = (
    "64 s of a published start of vLLM with Llama-3.1-8B on L40S from a warm volume (imports and init 34, "
    "dynamo 10, compile 13, graphs 7; tensorfuse, 2025)"
)


class StartUp(Spec):
    """Seconds of a start-up, with where they come from."""

    seconds: float
    origin: Origin
    source: str = Field(description="Of what the figure is made.")


def start_up_of(profile: Profile, weights_bytes: float, own_s: float | None) -> StartUp:
    """The user's own time, or an estimate: weights over the disk's rate, plus a published engine start.

    t = weights_bytes / disk_bandwidth + 64 s. Node, image and download are not in it.

    Args:
        profile: its hop from disk to host memory has the rate.
        weights_bytes: of the whole model, all devices of a replica together.
        own_s: what the user has timed.
    """
    if own_s is not None:
        return StartUp(seconds=own_s, origin=Origin.MEASURED, source="autoscaling.start_up in the scenario")
    rate = profile.load("disk_to_cpu").bandwidth_bytes_per_s
    seconds = weights_bytes / rate + ENGINE_START_S
    read = f"{weights_bytes / 1e9:.1f} GB of weights at the profile's {rate / 1e9:.2f} GB/s"
    return StartUp(
        seconds=seconds,
        origin=Origin.ESTIMATED,
        source=f"estimate: {read}, and {_ENGINE_SOURCE}; node, image and download are not in it",
    )
