"""The engine on a CUDA device: compiled kernels, bfloat16, captured graphs. Everything here needs one."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="no torch; install the extra 'calibrate'")

import torch

from calibration.engine.options import EngineOptions, Graphs
from calibration.engine.speculate import ModelDraft, NgramDraft
from tests.engine.bench import Bench, steps
from tests.engine.conftest import Tiny
from tests.engine.models import some_tokens
from tests.engine.running import engine_for, run

pytestmark = pytest.mark.gpu
DEVICE = "cuda"
ATTENTION = (
    "one-token-of-all",
    "split-into-parts",
    "ragged",
    "drafts",
    "more-rows-than-a-program-takes",
    "odd-sizes",
    "as-many-as-fill-the-device",
)
"""Names of attention_check.SHAPES, which only triton can import."""
COMPANIES = {"base": (-1,), "adapters": (0, 1, 2, 3), "mixed": (-1, 0, 1, 2, 3)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ATTENTION)
def test_compiled_attention_equals_its_twin(name: str, dtype: torch.dtype) -> None:
    pytest.importorskip("triton", reason="no triton; it comes with torch's CUDA builds")
    from tests.engine.attention_check import SHAPES, check

    check(SHAPES[name], dtype, DEVICE)


@pytest.mark.parametrize("company", COMPANIES)
@pytest.mark.parametrize("graphs", ["off", "static", "cuda"])
def test_float32_logits_equal_the_cpus(tiny: Tiny, graphs: str, company: str) -> None:
    here, there = Bench(tiny, "off", (1, 3)), Bench(tiny, graphs, (1, 3), DEVICE)
    for rows in steps(0, 3, COMPANIES[company]):
        torch.testing.assert_close(there.logits(rows).cpu(), here.logits(rows), atol=1e-3, rtol=1e-3)
    assert (there.runner.graph_tokens > 0) == (graphs != "off")


@pytest.mark.parametrize("company", COMPANIES)
@pytest.mark.parametrize("graphs", ["off", "static", "cuda"])
def test_bfloat16_is_as_near_to_float32_as_on_the_cpu(tiny: Tiny, graphs: str, company: str) -> None:
    exact = Bench(tiny, "off", (1, 3))
    cpu = Bench(tiny, "off", (1, 3), dtype="bfloat16")
    gpu = Bench(tiny, graphs, (1, 3), DEVICE, "bfloat16")
    off_cpu, off_gpu = [], []
    for rows in steps(1, 3, COMPANIES[company]):
        want = exact.logits(rows)
        off_cpu.append((cpu.logits(rows) - want).abs().flatten())
        off_gpu.append((gpu.logits(rows).cpu() - want).abs().flatten())
    assert torch.cat(off_gpu).mean() < 1.5 * torch.cat(off_cpu).mean()


def test_a_replayed_graph_computes_what_the_same_kernels_compute_uncaptured(tiny: Tiny) -> None:
    eager, replayed = (Bench(tiny, graphs, (1, 3), DEVICE, "bfloat16") for graphs in ("static", "cuda"))
    for rows in steps(2, 3, COMPANIES["mixed"]):
        torch.testing.assert_close(replayed.logits(rows), eager.logits(rows), atol=1e-3, rtol=1e-3)


DRAFTS = {"none": None, "ngram": NgramDraft(3, shortest_match=1), "model": ModelDraft(2, "")}


@pytest.mark.parametrize("load_mode", ["blocking", "overlapped"])
@pytest.mark.parametrize("draft", DRAFTS)
def test_answers_are_the_cpus_with_graphs_and_without(tiny: Tiny, draft: str, load_mode: str) -> None:
    """Greedy, in float32; fewer slots than adapters, so that slots are written between replays."""
    how = DRAFTS[draft]
    how = ModelDraft(how.length, tiny.draft) if isinstance(how, ModelDraft) else how
    set_ups: list[tuple[str, Graphs]] = [("cpu", "off"), (DEVICE, "off"), (DEVICE, "cuda")]
    answers = []
    for device, graphs in set_ups:
        options = EngineOptions(kv_blocks=40, device=device, draft=how, graphs=graphs)
        limits: dict[str, Any] = {"max_loras": 2, "max_num_seqs": 5, "load_mode": load_mode}
        engine = engine_for(tiny.model, tiny.adapters, options, **limits)
        for at, name in enumerate([*tiny.adapters, None, None]):
            engine.add_request(some_tokens(6 + 5 * at, at), adapter=name, max_tokens=24)
        answers.append(run(engine))
        engine.close()
        assert any(record.graph_tokens for record in engine.books.steps) == (graphs == "cuda")
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


def test_graphs_see_weights_that_are_merged_after_the_capture(tiny: Tiny) -> None:
    answers = {}
    engine = engine_for(tiny.model, options=EngineOptions(kv_blocks=40, device=DEVICE, graphs="cuda"))
    for stage in ("base", "merged", "again"):
        if stage == "merged":
            engine.merge_adapter(tiny.adapters["plain"])
        if stage == "again":
            engine.unmerge_adapter()
        request = engine.add_request(some_tokens(12), max_tokens=20)
        answers[stage] = run(engine)[request]
    other = engine_for(tiny.model, options=EngineOptions(kv_blocks=40))
    other.merge_adapter(tiny.adapters["plain"])
    request = other.add_request(some_tokens(12), max_tokens=20)
    assert answers["merged"] == run(other)[request]
    assert answers["again"] == answers["base"] != answers["merged"]


def test_a_cuda_engine_captures_by_default(tiny: Tiny) -> None:
    engine = engine_for(tiny.model, options=EngineOptions(kv_blocks=40, device=DEVICE))
    assert engine.graphs == "cuda"
    for at in range(3):
        engine.add_request(some_tokens(5, at), max_tokens=6)
    run(engine)
    assert {record.graph_tokens for record in engine.books.steps if not record.batch.chunks} == {4}
