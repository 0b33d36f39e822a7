"""All-reduce of a tensor-parallel group: two a layer, one row of hidden size a token.

`message_size` in the tables counts elements of two bytes (only then does the rate of 8 H100 come out at
NVLink speed). The rows named `vLLM_custom_*` were taken through vLLM's own dispatch, which falls back to
NCCL for large messages and for more than two devices over PCIe; SGLang's likewise. Within captured sizes the
all-reduce runs inside the graph (rows `*_graph`); above, it is launched eagerly (`*_eager`). A table that has
one kind alone (TensorRT-LLM; Intel) stands for both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.errors import InputError
from advisor.spec.model import ModelShape
from calibration.importers.tables import Rows, Tables

Array = NDArray[np.float64]

REDUCES_A_LAYER = 2


class AllReduceTable:
    """Measured all-reduce of one GPU kind."""

    def __init__(self, tables: Tables, *, largest_graph: int) -> None:
        """Read the table.

        Args:
            tables: GPU and engine.
            largest_graph: tokens of the largest captured step.
        """
        self._rows = tables.rows("all_reduce", ("kernel_source", "num_gpus", "message_size", "latency"))
        self._largest_graph = largest_graph

    @property
    def path(self) -> str:
        """The file that was read; its engine version may be an older one."""
        return self._rows.path

    def degrees(self) -> set[int]:
        """Group sizes that were measured."""
        return {int(size) for size in self._rows.number("num_gpus")}

    def seconds(self, model: ModelShape, tensor_parallel: int, tokens: Array) -> Array:
        """Seconds of all layers' all-reduces at each number of tokens.

        Raises:
            InputError: the table has no group of this size.
        """
        elements = tokens * model.hidden_size
        group = self._rows.where(num_gpus=tensor_parallel)
        graph = _interpolated(_kind(group, "_graph"), elements)
        eager = _interpolated(_kind(group, "_eager"), elements)
        one = np.where(tokens <= self._largest_graph, graph, np.maximum(graph, eager))
        return np.asarray(REDUCES_A_LAYER * model.layers * one)


def _kind(rows: Rows, ending: str) -> Rows:
    """Rows whose kernel ends so; all of them if none does."""
    names = np.unique(rows.columns["kernel_source"].astype(str)) if len(rows) else np.zeros(0, dtype=str)
    found = [str(name) for name in names if name.endswith(ending)]
    return rows.where(kernel_source=found[0]) if found else rows


def _interpolated(rows: Rows, elements: Array) -> Array:
    """Log-linear between sizes, held below the smallest, in proportion above the largest."""
    if len(rows) < 2:
        raise InputError(f"{rows.path}: has no all-reduce for this number of devices.")
    size, place = np.unique(rows.number("message_size"), return_inverse=True)
    latency = rows.number("latency")
    seconds = np.asarray([1e-3 * np.median(latency[place == index]) for index in range(len(size))])
    wanted = np.log(elements)
    logs = np.interp(wanted, np.log(size), np.log(seconds)) + np.maximum(wanted - np.log(size[-1]), 0.0)
    return np.asarray(np.exp(logs))
