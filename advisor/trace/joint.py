"""Joint prompt and output lengths: quantile tables, and a histogram of rank cells for the dependence.

Measured on the public traces (docs/reference/traces.md): a Gaussian copula with the same rank correlation
misses what the cells keep, because real dependence is not monotone.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from advisor.spec.workload import QuantileLength
from advisor.trace.draw import chosen, generator, uniforms
from advisor.trace.fitted import LengthModel
from advisor.trace.trace import Floats, Ints

_BODY: Final = (np.arange(195) / 200).round(3).tolist()
PROBABILITIES: Final = (*_BODY, 0.975, 0.98, 0.985, 0.99, 0.995, 0.999, 1.0)
COARSE: Final = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_MOST_CELLS: Final = 24
_REQUESTS_PER_CELL: Final = 8  # on average at least, so that no cell tells of a single request


def fit_lengths(prompt: Ints, output: Ints) -> LengthModel:
    """Fit marginals and dependence.

    Args:
        prompt: tokens, shape (requests,); at least one request.
        output: tokens, of the same requests.
    """
    side = min(_MOST_CELLS, int(np.sqrt(len(prompt) / _REQUESTS_PER_CELL)))
    cells: tuple[tuple[float, ...], ...] = ()
    if side > 1:
        place = [
            np.minimum((_broken_ties(x, k) * side).astype(np.int64), side - 1)
            for k, x in enumerate((prompt, output))
        ]
        number = np.bincount(place[0] * side + place[1], minlength=side * side).reshape(side, side)
        cells = tuple(tuple(map(float, row)) for row in number.tolist())
    return LengthModel(prompt_tokens=quantiles(prompt), output_tokens=quantiles(output), cells=cells)


def quantiles(tokens: Ints, probabilities: tuple[float, ...] = PROBABILITIES) -> QuantileLength:
    """The quantile table of observed tokens (requests,); a length that many requests share stays a step."""
    values = np.quantile(tokens, probabilities, method="inverted_cdf").astype(float)
    return QuantileLength(kind="quantiles", probabilities=probabilities, tokens=tuple(values.tolist()))


def draw_ranks(model: LengthModel, count: int, seed: int, stream: int = 0) -> tuple[Floats, Floats]:
    """Places in [0, 1) of prompts and outputs in their distributions, each (count,), dependent as fitted."""
    prompt = uniforms(seed, "prompt_tokens", count, stream)
    output = uniforms(seed, "output_tokens", count, stream)
    side = len(model.cells)
    if not side:
        return prompt, output
    cell = chosen(np.asarray(model.cells).ravel(), uniforms(seed, "cell", count, stream))
    return (cell // side + prompt) / side, (cell % side + output) / side


def _broken_ties(values: Ints, stream: int) -> Floats:
    """Ranks in [0, 1), equal values in random order, which a seed of its own decides."""
    jitter = generator(0, "order", stream).random(len(values))
    rank = np.empty(len(values))
    rank[np.lexsort((jitter, values))] = (np.arange(len(values)) + 0.5) / len(values)
    return rank
