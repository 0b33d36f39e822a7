from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch
from torch import Tensor

from calibration.engine.batch import NO_SLOT, Row
from calibration.engine.lora import pack
from calibration.engine.matrix import plain
from calibration.engine.merge import merge, unmerge
from calibration.engine.peft import describe_adapter, read_adapter
from calibration.engine.runner import Runner
from tests.engine.conftest import Tiny
from tests.engine.models import KINDS, reference_logits, save_adapter, save_model, some_tokens

BLOCK = 4
TOLERANCE = 1e-4


class Bench:
    """A model with adapter slots and a cache, below the engine: rows in, logits out."""

    def __init__(self, model_dir: Path, adapters: list[Path], rank: int = 8) -> None:
        self.runner = Runner("cpu", BLOCK)
        self.model = self.runner.load_model(model_dir, "auto", 64)
        self.cache = self.runner.kv_cache(self.model, 64)
        self.slots = self.runner.lora_slots(self.model, len(adapters), rank)
        for slot, folder in enumerate(adapters):
            assert self.slots is not None
            self.slots.write(slot, self.packed(folder, rank))

    def packed(self, folder: Path, rank: int) -> Any:
        architecture = self.model.architecture
        deltas = read_adapter(describe_adapter(folder, architecture.shape, rank), architecture.shape)
        return pack(deltas, architecture, rank, self.model.weights.embedding.dtype)

    def logits(self, *rows: Row) -> Tensor:
        return self.runner.forward(self.model, rows, self.cache, self.slots)


def whole(tokens: list[int], slot: int = NO_SLOT, first_block: int = 0) -> Row:
    """A prompt in one piece, with logits of each token."""
    return Row(tokens, 0, range(first_block, first_block + 16), slot, len(tokens))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_base_and_adapter_equal_transformers_and_peft(kind: str, tmp_path: Path) -> None:
    model = save_model(tmp_path / "base", kind)
    adapter = save_adapter(tmp_path / "adapter", kind)
    bench, tokens = Bench(model, [adapter]), some_tokens(19)
    got = bench.logits(whole(tokens), whole(tokens, slot=0, first_block=16))
    want = torch.cat([reference_logits(model, tokens), reference_logits(model, tokens, adapter)])
    torch.testing.assert_close(got, want, atol=TOLERANCE, rtol=TOLERANCE)
    assert (want[:19] - want[19:]).abs().max() > 1  # the adapter is no small matter


def test_a_batch_of_base_and_every_kind_of_adapter_equals_each_alone(tiny: Tiny) -> None:
    folders: list[Path | None] = [*tiny.adapters.values(), None]
    bench = Bench(tiny.model, list(tiny.adapters.values()))
    prompts = [some_tokens(5 + 3 * index, index) for index in range(len(folders))]
    slots = [*range(len(tiny.adapters)), NO_SLOT]
    rows = [
        whole(prompt, slot, 12 * index)
        for index, (prompt, slot) in enumerate(zip(prompts, slots, strict=True))
    ]
    order = [3, 0, 4, 2, 1]  # neither by slot nor by length
    got = bench.logits(*(rows[index] for index in order))
    want = [reference_logits(tiny.model, prompts[index], folders[index]) for index in order]
    torch.testing.assert_close(got, torch.cat(want), atol=TOLERANCE, rtol=TOLERANCE)


def test_chunks_and_decodes_of_one_step_equal_whole_prompts(tiny: Tiny) -> None:
    bench = Bench(tiny.model, [tiny.adapters["plain"]])
    first, second = some_tokens(23, 1), some_tokens(14, 2)
    here, there = range(6), range(20, 24)
    bench.logits(Row(first[:9], 0, here, NO_SLOT, 0), Row(second[:13], 0, there, 0, 0))
    got = bench.logits(Row(first[9:], 9, here, NO_SLOT, 14), Row(second[13:], 13, there, 0, 1))
    want = [
        reference_logits(tiny.model, first)[9:],
        reference_logits(tiny.model, second, tiny.adapters["plain"])[13:],
    ]
    torch.testing.assert_close(got, torch.cat(want), atol=TOLERANCE, rtol=TOLERANCE)


def test_scattered_blocks_of_another_size_change_nothing(tiny: Tiny) -> None:
    bench, tokens = Bench(tiny.model, []), some_tokens(18)
    scattered = [31, 2, 17, 40, 9]
    bench.logits(Row(tokens[:7], 0, scattered, NO_SLOT, 0))
    got = bench.logits(Row(tokens[7:], 7, scattered, NO_SLOT, 11))
    torch.testing.assert_close(got, reference_logits(tiny.model, tokens)[7:], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", ["plain", "stabilised", "patterns", "one-layer"])
def test_merged_equals_peft_merged_and_unmerging_restores_every_bit(name: str, tiny: Tiny) -> None:
    bench, tokens = Bench(tiny.model, []), some_tokens(12)
    before = [tensor.clone() for tensor in bench.model.weights.tensors()]
    described = describe_adapter(tiny.adapters[name], bench.model.architecture.shape)
    deltas = read_adapter(described, bench.model.architecture.shape)
    merge(bench.model.weights, bench.model.architecture, deltas)
    want = reference_logits(tiny.model, tokens, tiny.adapters[name], merged=True)
    torch.testing.assert_close(bench.logits(whole(tokens)), want, atol=TOLERANCE, rtol=TOLERANCE)
    unmerge(bench.model.weights, bench.model.architecture, described.scales, tiny.model)
    assert all(torch.equal(a, b) for a, b in zip(before, bench.model.weights.tensors(), strict=True))


def test_bfloat16_is_as_near_to_float32_as_transformers_in_bfloat16(tiny: Tiny, tmp_path: Path) -> None:
    adapter = tiny.adapters["plain"]
    half = save_model(tmp_path / "half", dtype=torch.bfloat16)
    bench, tokens = Bench(half, [adapter]), some_tokens(24)
    got = bench.logits(whole(tokens), whole(tokens, 0, 16))
    exact = torch.cat([reference_logits(tiny.model, tokens), reference_logits(tiny.model, tokens, adapter)])
    theirs = torch.cat([reference_logits(half, tokens), reference_logits(half, tokens, adapter)])
    assert bench.model.weights.embedding.dtype == torch.bfloat16
    assert (got - exact).abs().mean() < 1.25 * (theirs - exact).abs().mean()


def test_a_sharded_model_equals_the_whole_one(tiny: Tiny, tmp_path: Path) -> None:
    from tests.engine.models import build_model

    build_model("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    tokens = some_tokens(9)
    assert torch.equal(Bench(tmp_path, []).logits(whole(tokens)), Bench(tiny.model, []).logits(whole(tokens)))


def test_a_merge_sums_in_float32_and_rounds_once(tmp_path: Path) -> None:
    half = save_model(tmp_path / "half", dtype=torch.bfloat16)
    adapter = save_adapter(tmp_path / "adapter", size=0.01, target_modules=["down_proj"])
    bench = Bench(half, [])
    described = describe_adapter(adapter, bench.model.architecture.shape)
    deltas = read_adapter(described, bench.model.architecture.shape)
    matrices = bench.model.weights.layers[1].matrices
    weight = plain(matrices["down"])
    delta = deltas[1, "down_proj"]
    want = (weight.float() + delta.scale * (delta.b.float() @ delta.a.float())).bfloat16()
    merge(bench.model.weights, bench.model.architecture, deltas)
    assert torch.equal(plain(matrices["down"]), want)
