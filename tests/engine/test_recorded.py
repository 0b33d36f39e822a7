"""A step that was recorded once is right for other requests: what a captured graph must be, on the CPU.

torch's tracer writes down every operation of one step, with its sizes and addresses, as a capture does;
an operation that asks the host for a value of a tensor fails. The kernels are replaced by plain torch of
the same shapes, for a tracer does not see into them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from calibration.engine import kv
from calibration.engine.batch import DecodeBatch, Row
from calibration.engine.graphs import GraphShape, StaticDecode
from calibration.engine.lora import LoraSlots
from calibration.engine.model import logits_of
from tests.engine.bench import TOLERANCE, Bench, steps
from tests.engine.conftest import Tiny


def whole_tables(query: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor) -> Tensor:
    """Attention over the whole width of the tables, masked."""
    sequences = tables.shape[1]
    every = torch.arange(tables.shape[0] * keys.shape[1])
    mask = (every < positions.view(sequences, -1, 1) + 1)[:, None]
    found = [blocks[tables.T].flatten(1, 2).transpose(1, 2) for blocks in (keys, values)]
    query = query.view(sequences, -1, *query.shape[1:])
    return kv._attend_folded(query, found[0], found[1], mask)


def product_by_token(
    slots: LoraSlots, packed: str, layer: int, x: Tensor, out: Tensor, batch: DecodeBatch
) -> None:
    """Each token by the matrices of its own slot, which its tile tells."""
    at = torch.arange(len(x))
    slot, start, end = batch.lora_tiles.long().T[:, :, None]
    mine = (start <= at) & (at < end)
    slot_of, adapted = (mine * slot).sum(0), mine.any(0)
    shrunk = torch.einsum("td,trd->tr", x, slots.a[packed][layer][slot_of]) * adapted[:, None]
    for place, (module, first, last) in enumerate(slots.columns[packed]):
        part = shrunk[:, place * slots.rank : (place + 1) * slots.rank]
        out[:, first:last] += torch.einsum("tr,tor->to", part, slots.b[module][layer][slot_of])


def record(static: StaticDecode, shape: GraphShape) -> Callable[[], None]:
    """The operations of one step, to be done again."""
    return make_fx(lambda: static._compute(shape))()


@pytest.mark.parametrize("width", [1, 3])
def test_a_recorded_step_serves_any_other_of_its_shape(
    tiny: Tiny, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv, "paged_decode_reference", whole_tables)
    monkeypatch.setattr(LoraSlots, "add_product", product_by_token)
    fixed = Bench(tiny, "static", (width,))
    (static,) = fixed.runner._static.values()
    told = [*steps(0, width, (-1, 0, 1, 2, 3)), *steps(1, width, (-1,)), *steps(2, width, (1, 2))]
    shapes = [static.shape_of(rows) for rows in told]
    recorded = {}
    for shape in {shape for shape in shapes if shape and shapes.count(shape) > 1}:
        static._enter((), shape)  # padding alone, as in a capture
        recorded[shape] = record(static, shape)
    monkeypatch.undo()
    assert {shape.lora for shape in recorded} == {True, False}
    free = Bench(tiny, "off", (width,))
    for rows, fit in zip(told, shapes, strict=True):
        want = free.logits(rows)
        if fit is None or fit not in recorded:
            fixed.logits(rows)
            continue
        outputs = static._enter(rows, fit)
        static._hidden.fill_(torch.nan)
        recorded[fit]()
        got = logits_of(static._model, static._hidden[outputs])
        torch.testing.assert_close(got, want, atol=TOLERANCE, rtol=TOLERANCE)


def test_the_recorder_refuses_what_asks_the_host(tiny: Tiny) -> None:
    """The CPU's own twins read lengths on the host; were they captured, this is what would happen."""
    fixed = Bench(tiny, "static", (1,))
    (static,) = fixed.runner._static.values()
    shape = static.shape_of([Row([1], 0, [0], -1, 1)])
    assert shape is not None
    static._enter((), shape)
    with pytest.raises(RuntimeError, match="get value out of a tracing tensor"):
        record(static, shape)
