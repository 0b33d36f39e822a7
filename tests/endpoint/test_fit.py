"""Terms from samples whose truth is known; what samples cannot tell is marked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.errors import MeasurementError
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from calibration.endpoint import steps as s
from calibration.endpoint.answer import Answer
from calibration.endpoint.ask import Bounds, Prober
from calibration.endpoint.loads import load_terms
from calibration.endpoint.metrics import read_counts
from calibration.endpoint.overhead import Overhead
from calibration.endpoint.plan import SHORT, Probe, probes, spread
from calibration.endpoint.prompts import Prompts
from calibration.endpoint.samples import Kind, Load, Sample
from calibration.endpoint.sweep import Sweep
from calibration.endpoint.terms import (
    Found,
    fit_samples,
    frontend_of,
    host_of,
    residual_of,
    terms_of,
)
from calibration.replay.client import Target
from calibration.replay.servers import KINDS

LIMITS = EngineLimits(
    max_num_seqs=64, max_num_batched_tokens=512, max_loras=4, max_cpu_loras=4, max_lora_rank=16
)
SHAPE = ModelShape(
    name="m", hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate_size=96, vocab_size=99
)
TRUTH = {
    s.SEQUENCE: 4e-5, s.CONTEXT: 2e-7, s.PAIR: 1e-8, s.WAY: 3e-3, s.WAY_TOKEN: 2e-6,
    s.LORA: 1e-3, s.LORA_ADAPTER: 3e-4, s.LORA_TOKEN: 1e-5, s.LORA_PROMPT: 5e-6,
}  # fmt: skip


def dense(tokens: int) -> float:
    return 4e-3 + 1e-5 * tokens + 6e-5 * max(tokens - 64, 0)


def seconds(sample: Sample) -> float:
    """Step by step, by the equations of design.md section 3."""
    total = 0.0
    if sample.kind == "ttft":
        total = TRUTH[s.WAY] + TRUTH[s.WAY_TOKEN] * sample.prompt_tokens
    for step in s.steps_of(sample, LIMITS.max_num_batched_tokens):
        total += dense(step.tokens) + TRUTH[s.SEQUENCE] * step.sequences
        total += TRUTH[s.CONTEXT] * step.context + TRUTH[s.PAIR] * step.pairs
        if step.adapters:
            total += TRUTH[s.LORA] + TRUTH[s.LORA_ADAPTER] * step.adapters
            total += TRUTH[s.LORA_TOKEN] * step.tokens + TRUTH[s.LORA_PROMPT] * step.prompt
    return total


def asked(probe: Probe, beside: Kind = "beside") -> Sample:
    if probe.kind == "ttft":
        return Sample("ttft", 1.0, probe.prompt_tokens, adapters=probe.adapters)
    if probe.kind == "beside":
        return Sample(beside, 1.0, probe.prompt_tokens, decodes=1, context_tokens=40)
    context = probe.streams * (probe.prompt_tokens + 12.0)
    return Sample("decode", 1.0, decodes=probe.streams, context_tokens=context, adapters=probe.adapters)


def measured(
    longest: int, *, noise: float = 0.02, rounds: int = 6, adapters: int = 4, beside: Kind = "beside"
) -> list[Sample]:
    draws = np.random.default_rng(5)
    found = []
    for probe in probes(LIMITS, longest, 32, adapters) * rounds:
        sample = asked(probe, beside)
        took_s = seconds(sample) * float(np.exp(noise * draws.standard_normal()))
        if draws.random() < 0.05:
            took_s *= draws.choice([0.1, 5.0])  # a hiccup of the machine, or parts that came bunched
        found.append(replace(sample, seconds=took_s))
    return found


@pytest.fixture(scope="module")
def found() -> Found:
    return fit_samples(measured(4000), LIMITS.max_num_batched_tokens)


def test_steps_are_found_again_whatever_they_hold(found: Found) -> None:
    unseen = [
        Sample("decode", 1, decodes=24, context_tokens=9000),
        Sample("decode", 1, decodes=12, context_tokens=900, adapters=3),
        Sample("ttft", 1, 700),
        Sample("ttft", 1, 2500, adapters=1),
        Sample("beside", 1, 300, decodes=8, context_tokens=800),
    ]
    columns = s.columns_of(unseen, found.knots, LIMITS.max_num_batched_tokens)
    predicted = sum((found.value(name) * column for name, column in columns.items()), np.zeros(len(unseen)))
    truth = np.array([seconds(sample) for sample in unseen])
    assert predicted == pytest.approx(truth, rel=0.06)


def test_what_the_sweep_pins_down_is_right_and_in_its_interval(found: Found) -> None:
    for name in (s.PAIR, s.LORA_ADAPTER, s.LORA_TOKEN, s.WAY):
        assert found.pinned(name), name
        assert found.value(name) == pytest.approx(TRUTH[name], rel=0.25), name
        assert found.fit.low[name] <= found.value(name) <= found.fit.high[name]
    terms = terms_of(found, SHAPE, 64, "test", lora=True)
    assert terms.lora is not None
    assert terms.lora.origin is Origin.FITTED
    assert terms.attn_prefill.origin is Origin.FITTED
    assert host_of(found, "test").per_sequence_s == found.value(s.SEQUENCE)
    assert frontend_of(found, "test").fixed_s == pytest.approx(TRUTH[s.WAY], rel=0.25)
    low, high = terms.lora.interval
    assert low < 1 < high


def test_prompt_attention_is_not_guessed_where_every_prompt_is_one_small_step() -> None:
    small = fit_samples(measured(256), LIMITS.max_num_batched_tokens)
    assert s.PAIR not in small.fit.values
    terms = terms_of(small, SHAPE, 64, "test", lora=True)
    assert terms.attn_prefill.origin is Origin.ESTIMATED
    assert "not pinned down" in terms.attn_prefill.source
    assert not np.array(terms.attn_prefill.seconds).any()


def test_a_term_whose_interval_is_wide_is_marked_and_named() -> None:
    noisy = fit_samples(measured(4000, noise=0.5, rounds=1), LIMITS.max_num_batched_tokens)
    assert any("prompt token of a request" in line for line in noisy.loose())
    assert frontend_of(noisy, "test").origin in (Origin.ESTIMATED, Origin.FITTED)
    named = {line.split(",")[0].removeprefix("not pinned down: seconds a ") for line in noisy.loose()}
    assert named == {
        name for name in noisy.fit.values if not name.startswith(s.DENSE) and not noisy.pinned(name)
    }


def test_no_decoding_term_is_trusted_where_the_server_speculates(found: Found) -> None:
    speculating = replace(found, speculates=True)
    terms = terms_of(speculating, SHAPE, 64, "test", lora=True)
    assert {terms.dense.origin, terms.attn_decode.origin, host_of(speculating, "t").origin} == {
        Origin.ESTIMATED
    }
    assert terms.lora is not None
    assert terms.lora.origin is Origin.ESTIMATED
    assert frontend_of(speculating, "test").origin is Origin.FITTED


def test_too_little_is_refused() -> None:
    with pytest.raises(MeasurementError, match="Raise --budget"):
        fit_samples([Sample("ttft", 1.0, 4)], 512)
    few = [Sample("ttft", 1.0, 2**n) for n in range(4)] + [Sample("decode", 1.0, decodes=2)]
    with pytest.raises(MeasurementError, match="samples for"):
        fit_samples(few, 512)


def test_the_residual_is_of_steps_that_no_fit_saw(found: Found) -> None:
    step_s = dense(4) + 4 * TRUTH[s.SEQUENCE] + 100 * TRUTH[s.CONTEXT]
    held = [Sample("held_out", 2 * step_s, decodes=4, context_tokens=100)] * 5
    left = residual_of(found, held)
    assert left is not None
    assert left.points == 5
    assert left.median_relative == pytest.approx(-0.5, abs=0.03)
    assert residual_of(found, measured(64, rounds=1)) is None


def test_a_prompt_longer_than_a_step_takes_several() -> None:
    first, last = s.steps_of(Sample("ttft", 1.0, 700), 512)
    assert (first.tokens, first.pairs, last.tokens) == (512, 512 * 256, 188)
    assert last.pairs == 188 * (512 + 94)
    (beside,) = s.steps_of(Sample("beside", 1.0, 100, decodes=1, context_tokens=30), 512)
    assert (beside.tokens, beside.sequences, beside.context, beside.prompt) == (101, 2, 30, 100)


def test_where_prompts_have_steps_of_their_own_a_gap_is_those_and_a_decode_step() -> None:
    decode, first, last = s.steps_of(Sample("apart", 1.0, 600, decodes=2, context_tokens=30), 512)
    assert (decode.tokens, decode.sequences, decode.context, decode.prompt) == (2, 2, 30, 0)
    assert (first.tokens, first.sequences, first.context, last.tokens) == (512, 1, 0, 88)
    found = fit_samples(measured(4000, beside="apart"), LIMITS.max_num_batched_tokens)
    unseen = [Sample("apart", 1, 300, decodes=8, context_tokens=800), Sample("decode", 1, decodes=24)]
    columns = s.columns_of(unseen, found.knots, LIMITS.max_num_batched_tokens)
    predicted = sum((found.value(name) * column for name, column in columns.items()), np.zeros(2))
    assert predicted == pytest.approx([seconds(sample) for sample in unseen], rel=0.06)


@pytest.mark.parametrize(
    ("server", "parts_s", "first_token_s", "sample"),
    [
        # one step holds both, so that the first token and the stream's come together
        ("vllm", (1.0, 1.01, 1.06, 1.07, 1.08), 1.0601, ("beside", 0.05)),
        # a short prompt's own step, then the decode step: the part before is as near as the one after
        ("sglang", (1.0, 1.01, 1.028, 1.038, 1.048), 1.018, ("apart", 0.018)),
    ],
)
def test_the_gap_of_a_prompt_is_found_by_how_the_server_batches(
    server: str, parts_s: tuple[float, ...], first_token_s: float, sample: tuple[str, float]
) -> None:
    prober = Prober(Target("http://x", "m", KINDS[server]), Bounds(9.0, 9, 9))
    sweep = Sweep(prober, Prompts(100), (), Overhead(0.0, 0.0, 0.0), 512)
    stream = Answer(200, 0.9, prompt_tokens=16, output_tokens=5, part_s=list(parts_s))
    prompt = Answer(200, 1.005, prompt_tokens=64, output_tokens=1, part_s=[first_token_s])
    sweep._gap(stream, prompt)
    (kept,) = sweep.findings.samples
    assert kept.kind == sample[0]
    assert kept.seconds == pytest.approx(sample[1])
    assert (kept.prompt_tokens, kept.decodes) == (64, 1)


def test_the_plan_keeps_to_its_bounds_and_covers_adapters() -> None:
    plan = probes(LIMITS, 900, 6, 8)
    assert max(probe.prompt_tokens for probe in plan) == 900
    assert max(probe.streams for probe in plan) == 4
    assert max(probe.adapters for probe in plan) == 4  # slots, not names
    assert [probe.work_tokens for probe in plan] == sorted(probe.work_tokens for probe in plan)
    assert all(SHORT <= probe.prompt_tokens < 512 for probe in plan if probe.kind == "beside")
    assert not any(probe.adapters for probe in probes(LIMITS, 900, 6, 0))
    assert spread(("a", "b", "c"), 2, 5) == ["a", "b", "a", "b", "a"]
    assert spread(("a",), 0, 2) == [None, None]


def test_no_two_prompts_share_a_beginning() -> None:
    prompts, again = Prompts(1000, seed=1), Prompts(1000, seed=1)
    made = [prompts.next(20) for _ in range(200)] + [again.next(20) for _ in range(200)]
    assert len({tuple(prompt[:4]) for prompt in made}) == 400
    assert all(len(prompt) == 20 and max(prompt) < 1000 for prompt in made if isinstance(prompt, list))
    assert Prompts(1000, 1, nonce=7).next(8) == Prompts(1000, 1, nonce=7).next(8)


def loads_of(**seconds_: float) -> list[Load]:
    return [Load(heat, value + 1e-4 * k) for heat, value in seconds_.items() for k in range(6)]  # type: ignore[arg-type]


def test_loads_are_the_difference_of_cold_and_warm() -> None:
    disk, slot = load_terms(loads_of(warm=0.01, slot=0.015, disk=0.05), "test")
    assert disk.fixed_s == pytest.approx(0.035)
    assert slot.fixed_s == pytest.approx(0.005)
    assert {disk.origin, slot.origin} == {Origin.FITTED}
    both, within = load_terms(loads_of(warm=0.01, disk=0.05), "test")
    assert both.fixed_s == pytest.approx(0.04)
    assert "with the copy into the slot" in both.source
    assert (within.fixed_s, within.origin) == (0.0, Origin.ESTIMATED)
    unseen, _ = load_terms(loads_of(warm=0.01), "test")
    assert (unseen.fixed_s, unseen.origin) == (0.0, Origin.ESTIMATED)
    assert "no adapter was seen cold" in unseen.source
    faster, _ = load_terms(loads_of(warm=0.02, disk=0.01), "test")
    assert faster.origin is Origin.ESTIMATED
    assert "not pinned down" in faster.source


def test_metrics_are_read_by_either_engines_names() -> None:
    before = read_counts(
        'vllm:request_queue_time_seconds_sum{model_name="m"} 1.5\n'
        'vllm:request_queue_time_seconds_count{model_name="m"} 3\n'
        "vllm:num_requests_running 2\n# HELP x\nnonsense\n"
    )
    after = read_counts(
        'vllm:request_queue_time_seconds_sum{model_name="m"} 4.5\n'
        'vllm:request_queue_time_seconds_count{model_name="m"} 5\n'
    )
    assert after.mean_since(before, "queue") == pytest.approx(1.5)
    assert after.mean_since(before, "ttft") is None
    assert before.value("running") == 2
    assert read_counts('sglang:num_running_reqs{tp_rank="0"} 7\n').value("running") == 7
    assert read_counts("").values == {}
