"""Decode steps of fixed shape, which a CUDA device replays as captured graphs. Read `StaticDecode.run` first.

A step in which every sequence has few new tokens is padded to the next of some shapes: S sequences of
`width` tokens each. Its inputs lie in the same memory each time, what is padded goes to a scratch block of
the KV cache, and nothing in it depends on a count that the host knows. So the same calls can run eagerly
on any device (`static`: how a CPU proves them) or be captured once and replayed (`cuda`).

A step without adapters has shapes of its own, in which no adapter kernel runs. As vLLM does it
(engines.md 5.4: sizes, one more set without LoRA, logits outside of the graph).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from calibration.engine.batch import NO_SLOT, TILE_TOKENS, DecodeBatch, Row, _tiles
from calibration.engine.kv import KvCache
from calibration.engine.lora import LoraSlots
from calibration.engine.model import Model, decoded, logits_of

_MOST_SEQUENCES: Final = 512


class GraphShape(NamedTuple):
    """What a step is padded to."""

    sequences: int
    width: int  # tokens of each sequence
    lora: bool  # whether somebody has an adapter

    @property
    def tokens(self) -> int:
        """Tokens that are computed, padding included."""
        return self.sequences * self.width


def graph_sizes(max_num_seqs: int) -> tuple[int, ...]:
    """Numbers of sequences that steps are padded to: 1, 2, 4, 8, 16, 24 ... 256, 272 ... and the largest.

    The largest is `max_num_seqs`, at most 512; a step of more sequences keeps its own shape.
    """
    largest = min(max_num_seqs, _MOST_SEQUENCES)
    ladder = (1, 2, 4, *range(8, 256, 8), *range(256, largest, 16))
    return (*(size for size in ladder if size < largest), largest)


def most_tiles(tokens: int, slots: int) -> int:
    """Σ ceil(n_a / TILE_TOKENS) at its largest: any n_a >= 1 of at most `slots` adapters, Σ n_a <= tokens."""
    adapters = min(tokens, slots)
    return (tokens - adapters) // TILE_TOKENS + adapters if adapters else 0


class _Shared:
    """Integers that the host writes and the device reads; on a CPU both are the same memory."""

    def __init__(self, count: int, dtype: torch.dtype, device: torch.device) -> None:
        apart = device.type != "cpu"
        self._host = torch.zeros(count, dtype=dtype, pin_memory=apart)
        self.array = self._host.numpy()
        self.tensor = torch.zeros(count, dtype=dtype, device=device) if apart else self._host

    def send(self, count: int) -> None:
        """Copy the first so many to the device."""
        if self.tensor is not self._host:
            self.tensor[:count].copy_(self._host[:count], non_blocking=True)


class StaticDecode:
    """The decode steps of one model in fixed shapes. The cache's last block is scratch."""

    def __init__(
        self, model: Model, cache: KvCache, slots: LoraSlots | None, widths: Sequence[int], max_num_seqs: int
    ) -> None:
        """Lay out the buffers.

        Args:
            model: Weights that may change in place, never move.
            cache: One block larger than what requests use.
            slots: As the weights.
            widths: Numbers of new tokens a sequence, ascending: 1, and with drafts γ + 1.
            max_num_seqs: Most sequences of a step.
        """
        self._model, self._cache, self._slots = model, cache, slots
        self._widths = tuple(widths)
        self.sizes = graph_sizes(max_num_seqs)
        self._block_tokens = cache.keys.shape[2]
        self._scratch = cache.keys.shape[1] - 1
        self._slot_count = 0 if slots is None else slots.a["qkv"].shape[1]
        like = model.weights.embedding
        most = self.sizes[-1] * self._widths[-1]
        self._most_blocks = -(-model.cos.shape[0] // self._block_tokens)
        self._numbers = _Shared(4 * most, torch.int64, like.device)
        self._tiles = _Shared(3 * most_tiles(most, self._slot_count), torch.int32, like.device)
        self._tables = _Shared(self._most_blocks * self.sizes[-1], torch.int32, like.device)
        self._hidden = like.new_zeros(most, like.shape[1])
        self._known: list[tuple[Sequence[int] | None, int]] = []  # blocks that each column holds
        self._known_size = 0
        self._graphs: dict[GraphShape, Any] = {}
        cuda: Any = torch.cuda
        self._sent = cuda.Event() if like.is_cuda else None

    def shape_of(self, rows: Sequence[Row]) -> GraphShape | None:
        """The shape that these rows fit into; None if there is none."""
        longest = max(len(row.tokens) for row in rows)
        if longest > self._widths[-1] or len(rows) > self.sizes[-1]:
            return None
        width = next(width for width in self._widths if width >= longest)
        size = next(size for size in self.sizes if size >= len(rows))
        return GraphShape(size, width, any(row.slot != NO_SLOT for row in rows))

    def shapes(self) -> list[GraphShape]:
        """All of them, the largest first."""
        kinds = (True, False) if self._slots is not None else (False,)
        return [GraphShape(s, w, k) for w in self._widths[::-1] for s in self.sizes[::-1] for k in kinds]

    def run(self, rows: Sequence[Row], shape: GraphShape) -> Tensor:
        """Logits of the rows that ask for them, as `model.forward` gives them."""
        outputs = self._enter(rows, shape)
        graph = self._graphs.get(shape)
        if graph is not None:
            graph.replay()
        else:
            self._compute(shape)
        return logits_of(self._model, self._hidden[outputs])

    def capture(self) -> None:
        """Capture a graph of each shape, while nothing else uses the device.

        The largest comes first, so that the others find their memory in the pool that all share. Each runs
        once before: kernels are compiled and libraries initialised outside of a capture.
        """
        cuda: Any = torch.cuda
        pool, beside = cuda.graph_pool_handle(), cuda.Stream()
        for shape in self.shapes():
            self._enter((), shape)
            beside.wait_stream(cuda.current_stream())
            with cuda.stream(beside):
                self._compute(shape)
            cuda.current_stream().wait_stream(beside)
            graph = cuda.CUDAGraph()
            with cuda.graph(graph, pool=pool, stream=beside):
                self._compute(shape)
            self._graphs[shape] = graph

    def _compute(self, shape: GraphShape) -> None:
        """What a graph holds: all of it on the device, of the same shapes and addresses each time."""
        hidden = decoded(self._model, self.batch(shape), self._cache, self._slots if shape.lora else None)
        with torch.inference_mode():
            self._hidden[: shape.tokens].copy_(hidden)

    def batch(self, shape: GraphShape) -> DecodeBatch:
        """The buffers as a step of this shape sees them."""
        numbers = self._numbers.tensor[: 3 * shape.tokens].view(3, -1)
        tables = self._tables.tensor[: self._most_blocks * shape.sequences].view(-1, shape.sequences)
        tiles = self._tiles.tensor[: 3 * self._tile_count(shape)].view(-1, 3)
        return DecodeBatch(numbers[0], numbers[1], numbers[2], tables, tiles, shape.width)

    def _tile_count(self, shape: GraphShape) -> int:
        return most_tiles(shape.tokens, self._slot_count) if shape.lora else 0

    def _enter(self, rows: Sequence[Row], shape: GraphShape) -> Tensor:
        """Write a step into the buffers; returns which hidden rows get logits, in the order of `rows`."""
        if self._sent is not None:
            self._sent.synchronize()  # the last step's copies have left the host's buffers
        order = sorted(range(len(rows)), key=lambda index: rows[index].slot)
        total, width = shape.tokens, shape.width
        tokens, positions = [0] * total, [0] * total
        places = [self._scratch * self._block_tokens] * total
        starts = [0] * len(rows)
        for line, index in enumerate(order):
            row, start = rows[index], line * width
            starts[index], end = start, start + len(row.tokens)
            here = range(row.context, row.context + len(row.tokens))
            tokens[start:end] = row.tokens
            positions[start:end] = here
            places[start:end] = [self._place(row, at) for at in here]
        outputs = [
            starts[index] + len(row.tokens) - row.outputs + place
            for index, row in enumerate(rows)
            for place in range(row.outputs)
        ]
        count = 3 * total + len(outputs)
        self._numbers.array[:count] = [*tokens, *positions, *places, *outputs]
        self._numbers.send(count)
        if shape.lora:
            self._enter_tiles([rows[index].slot for index in order], shape)
        self._enter_tables([rows[index] for index in order], shape)
        if self._sent is not None:
            self._sent.record()
        return self._numbers.tensor[3 * total : count]

    def _place(self, row: Row, position: int) -> int:
        block, offset = divmod(position, self._block_tokens)
        return row.blocks[block] * self._block_tokens + offset

    def _enter_tiles(self, slots: list[int], shape: GraphShape) -> None:
        """slots: of each sequence, ascending. Unused tiles are empty."""
        bounds = [0, *(at for at in range(1, len(slots)) if slots[at] != slots[at - 1]), len(slots)]
        ranges = [
            (slots[first], first * shape.width, behind * shape.width)
            for first, behind in pairwise(bounds)
            if first < behind and slots[first] != NO_SLOT
        ]
        tiles = _tiles(ranges).flatten().numpy()
        count = 3 * self._tile_count(shape)
        self._tiles.array[:count] = 0
        self._tiles.array[: tiles.size] = tiles
        self._tiles.send(count)

    def _enter_tables(self, rows: Sequence[Row], shape: GraphShape) -> None:
        """One column a sequence. Only what has changed since the last step is written on the host.

        A request's table is one list that only grows (BlockPool.table): the same list, the same blocks.
        """
        if self._known_size != shape.sequences:
            self._known, self._known_size = [(None, 0)] * shape.sequences, shape.sequences
        columns = self._tables.array[: self._most_blocks * shape.sequences].reshape(-1, shape.sequences)
        longest = 1
        for line, row in enumerate(rows):
            used = -(-(row.context + len(row.tokens)) // self._block_tokens)
            held, known = self._known[line]
            known = known if held is row.blocks else 0
            if known < used:
                columns[known:used, line] = np.asarray(row.blocks[known:used])
                self._known[line] = row.blocks, used
            longest = max(longest, used)
        for line in range(len(rows), shape.sequences):
            columns[0, line] = self._scratch
            self._known[line] = None, 0
        self._tables.send(longest * shape.sequences)
