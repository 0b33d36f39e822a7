"""The live engine: a small, real torch engine with the simulator's scheduling policy.

Which file answers which question:
    engine.py        one step: schedule, load, draft, compute, choose, book. Read `Engine.step` first
    scheduling.py    the simulator's scheduler, with physical KV blocks (blocks.py) and aborted requests
    requests.py      a request's tokens and times, a step's record, what a step hands out; books.py
    adapters.py      registered, in host memory, in a slot: real loads, blocking or overlapped
    lora.py          slots on the device, the grouped product of one batch; peft.py reads adapter folders
    model.py         the decoder: tensors in, tensors out; rope.py, attention.py, batch.py, kv.py belong to it
    config.py        what of a config.json the engine computes; weights.py reads safetensors; merge.py
    sampler.py       tokens from logits, by counter-based luck; speculate.py drafts, decide.py verifies
    runner.py        the file that knows devices; graphs.py pads decode steps to shapes that can be captured

docs/explanation/engine.md says how it is checked and what it does not do.
"""
