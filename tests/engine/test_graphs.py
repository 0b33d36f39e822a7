"""Decodes in fixed shapes, as graphs hold them, against the same steps in their own shapes; on the CPU."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from calibration.engine.batch import NO_SLOT, TILE_TOKENS, Row
from calibration.engine.graphs import graph_sizes, most_tiles
from calibration.engine.lora import LoraSlots
from calibration.engine.options import EngineOptions, Graphs
from calibration.engine.runner import Runner
from calibration.engine.sampler import Sampling
from calibration.engine.speculate import ModelDraft, NgramDraft
from tests.engine.bench import BLOCK, BLOCKS, TOLERANCE, Bench, steps
from tests.engine.conftest import Tiny
from tests.engine.models import some_tokens
from tests.engine.running import engine_for, run


@pytest.mark.parametrize(
    "slots", [(NO_SLOT,), (0, 2, 3), (NO_SLOT, 0, 1, 2, 3)], ids=["base", "lora", "mixed"]
)
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_fixed_shapes_give_the_logits_and_the_kv_of_free_ones(
    tiny: Tiny, seed: int, width: int, slots: tuple[int, ...]
) -> None:
    widths = tuple(sorted({1, width}))
    free, fixed = Bench(tiny, "off", widths), Bench(tiny, "static", widths)
    assert fixed.cache.keys.shape[1] == free.cache.keys.shape[1] + 1
    for turn, rows in enumerate(steps(seed, width, slots)):
        want, got = free.logits(rows), fixed.logits(rows)
        torch.testing.assert_close(got, want, atol=TOLERANCE, rtol=TOLERANCE)
        assert free.runner.graph_tokens == 0
        if turn:
            longest = max(len(row.tokens) for row in rows)
            assert fixed.runner.graph_tokens >= len(rows) * longest
        for mine, theirs in ((fixed.cache.keys, free.cache.keys), (fixed.cache.values, free.cache.values)):
            torch.testing.assert_close(mine[:, :-1], theirs, atol=TOLERANCE, rtol=TOLERANCE)


def test_what_is_padded_is_scratch_and_tiles_cover_each_adapter_once(tiny: Tiny) -> None:
    bench = Bench(tiny, "static", (1, 3))
    (static,) = bench.runner._static.values()
    rows = [Row([5, 6], 3, [7, 8], 2, 2), Row([9], 0, [1], NO_SLOT, 1), Row([4, 3, 2], 1, [50], 2, 3)]
    shape = static.shape_of(rows)
    assert shape == (4, 3, True)
    bench.logits(rows)
    batch = static.batch(shape)
    scratch = BLOCKS * BLOCK
    assert batch.kv_places.tolist() == [4, *[scratch] * 2, 31, 32, scratch, 201, 202, 203, *[scratch] * 3]
    assert batch.positions.tolist() == [0, 0, 0, 3, 4, 0, 1, 2, 3, 0, 0, 0]
    assert batch.tables[:, 3].tolist()[0] == BLOCKS
    assert batch.lora == ((2, 3, 9),)
    assert len(batch.lora_tiles) == most_tiles(12, 4)


def test_a_step_of_the_base_alone_runs_no_adapter_product(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tiny, "static", (1,))
    called = []
    monkeypatch.setattr(LoraSlots, "add_product", lambda *given: called.append(given))
    bench.logits([Row([7], 0, [3], NO_SLOT, 1)])
    assert not called
    bench.logits([Row([7], 0, [3], 1, 1)])
    assert len(called) == 2 * 4  # layers, packed matrices


def test_rows_that_fit_no_shape_keep_their_own(tiny: Tiny) -> None:
    bench = Bench(tiny, "static", (1, 2))
    bench.logits([Row([1, 2, 3], 0, [0], NO_SLOT, 1), Row([4], 0, [1], NO_SLOT, 1)])
    assert bench.runner.graph_tokens == 0
    bench.logits([Row([1, 2], 0, [0], NO_SLOT, 1)] + [Row([4], 0, [1], NO_SLOT, 1)] * 8)
    assert bench.runner.graph_tokens == 2 * 16


def test_a_preempted_table_is_read_anew(tiny: Tiny) -> None:
    free, fixed = Bench(tiny, "off", (1,)), Bench(tiny, "static", (1,))
    prompt = some_tokens(9)
    for table in ([4, 9, 2], [11, 3, 30]):  # another list in the same column
        for bench in (free, fixed):
            bench.logits([Row(prompt, 0, table, 0, 0)])
        rows = [Row([5], 9, table, 0, 1)]
        torch.testing.assert_close(fixed.logits(rows), free.logits(rows), atol=TOLERANCE, rtol=TOLERANCE)
        assert fixed.runner.graph_tokens == 1


@given(st.integers(1, 2000))
def test_sizes_are_the_ladder_up_to_the_seats(seats: int) -> None:
    sizes = graph_sizes(seats)
    assert sizes[0] == 1
    assert sizes[-1] == min(seats, 512)
    assert all(1 <= b - a <= 16 for a, b in pairwise(sizes))
    assert set(sizes[:-1]) <= {1, 2, 4, *range(8, 256, 8), *range(256, 512, 16)}


def test_sizes_of_a_usual_engine() -> None:
    assert graph_sizes(8) == (1, 2, 4, 8)
    assert graph_sizes(36) == (1, 2, 4, 8, 16, 24, 32, 36)
    assert graph_sizes(512)[-17:-14] == (256, 272, 288)


@given(groups=st.lists(st.integers(1, 70), min_size=1, max_size=12), spare=st.integers(0, 40))
def test_tiles_never_outgrow_their_room_and_can_fill_it(groups: list[int], spare: int) -> None:
    tokens, slots = sum(groups) + spare, len(groups)
    assert sum(-(-size // TILE_TOKENS) for size in groups) <= most_tiles(tokens, slots)
    worst = [1] * (slots - 1) + [tokens - slots + 1]
    assert sum(-(-size // TILE_TOKENS) for size in worst) == most_tiles(tokens, slots)


DRAFTS = {
    "none": None,
    "ngram": NgramDraft(3, shortest_match=1),
    "model": ModelDraft(2, Path("draft")),
}


@pytest.mark.parametrize("draft", DRAFTS)
def test_an_engine_of_fixed_shapes_gives_the_same_answers(tiny: Tiny, draft: str) -> None:
    how = DRAFTS[draft]
    how = ModelDraft(how.length, tiny.draft) if isinstance(how, ModelDraft) else how
    names: list[str | None] = [*tiny.adapters, None, None]
    answers = {}
    kinds: tuple[Graphs, ...] = ("off", "static")
    for graphs in kinds:
        options = EngineOptions(kv_blocks=40, draft=how, graphs=graphs)
        engine = engine_for(tiny.model, tiny.adapters, options, max_loras=2, max_num_seqs=5)
        for at, name in enumerate(names):
            sampling = Sampling(temperature=0.8, seed=at) if at % 2 and draft == "none" else None
            engine.add_request(some_tokens(6 + 5 * at, at), adapter=name, max_tokens=24, sampling=sampling)
        answers[graphs] = run(engine)
        assert engine.graphs == graphs
        records = engine.books.steps
        if graphs == "off":
            assert not any(record.graph_tokens for record in records)
            continue
        decodes = [record for record in records if not record.batch.chunks]
        assert len(decodes) > 5
        for record in decodes:
            width = max(1, record.graph_tokens // next(s for s in (1, 2, 4, 5) if s >= record.batch.decodes))
            assert width in {1, record.batch.draft_length + 1}
            assert record.graph_tokens >= record.batch.decodes + record.drafted_tokens
        assert any(record.preempted for record in records)
    assert answers["static"] == answers["off"]


def test_graphs_need_what_captures_them(tiny: Tiny) -> None:
    with pytest.raises(InputError, match="graphs is 'cuda'; allowed: auto, off or static on the device cpu"):
        engine_for(tiny.model, options=EngineOptions(graphs="cuda"))
    with pytest.raises(InputError, match="graphs is 'on'; allowed: auto, off, static, cuda"):
        engine_for(tiny.model, options=EngineOptions(graphs="on"))  # type: ignore[arg-type]
    assert Runner("cpu", 4).graphs == "off"
