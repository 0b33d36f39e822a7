"""The clients of a fitted mix as the adapters of a deployment.

With as many adapters as clients, the i-th adapter is the i-th client by share. With fewer, the largest
clients stay and their shares are scaled up. With more, the popularity curve is carried on: the place i
beyond the last client C has share_C · (C / i)^z, z the Zipf exponent of the mix, and the burstiness, drift
and lengths of a client, taken in turn. Adapters that are named as the clients are get their namesakes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from advisor.trace.describe import zipf_exponent
from advisor.trace.fitted import Client, FittedModel


def as_adapters(
    mix: FittedModel, adapters: Sequence[str], *, own_lengths: bool, base_share: float
) -> FittedModel:
    """The mix with one client an adapter, named as it.

    Args:
        mix: a fitted workload with clients.
        adapters: their names, at least one.
        own_lengths: keep each client's lengths; otherwise all have those of the workload.
        base_share: share of all requests to the plain base model, where the mix has none.
    """
    by_share = sorted(mix.clients, key=lambda client: -client.share)
    known = {client.name: client for client in by_share}
    if set(known) <= set(adapters):
        clients = [known[name] for name in adapters if name in known]
    else:
        clients = _by_place(by_share, adapters)
    if not own_lengths:
        clients = [
            client.model_copy(update={"prompt_tokens": None, "output_tokens": None}) for client in clients
        ]
    return mix.model_copy(update={"clients": tuple(clients), "base_share": mix.base_share or base_share})


def _by_place(by_share: Sequence[Client], adapters: Sequence[str]) -> list[Client]:
    last = len(by_share)
    exponent = zipf_exponent(np.array([client.share for client in by_share])) or 0.0
    clients = []
    for place, name in enumerate(adapters):
        like = by_share[place % last]
        share = like.share if place < last else by_share[-1].share * (last / (place + 1)) ** exponent
        clients.append(like.model_copy(update={"name": name, "share": share}))
    return clients
