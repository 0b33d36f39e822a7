"""Adapters from disk to host memory to a slot, and into the weights: the engine's own ways, real files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from advisor.spec.engine import EngineLimits
from calibration.engine.engine import Engine
from calibration.engine.options import EngineOptions
from calibration.microbench.adapters import AdapterFile
from calibration.microbench.samples import Samples


def measure_loads(
    model_dir: Path,
    files: Sequence[AdapterFile],
    options: EngineOptions,
    samples: Samples,
    rounds: int,
) -> None:
    """Load each adapter as a cold request does, with one slot, and room for one or for all in host memory.

    Args:
        model_dir: the base.
        files: at least two adapters of different ranks.
        options: device and dtype.
        samples: gets `disk_warm`, `disk_cold` (file dropped from the page cache first, where the system
            allows) and `slot`, each with the rank that was read and the rank that slots are padded to.
        rounds: loads of each kind. A padded rank whose loads are all in the samples is left out.
    """
    for padded in sorted({file.rank for file in files}):
        if f"loads {padded}" in samples.facts:
            continue
        limits = EngineLimits(
            max_num_seqs=4, max_num_batched_tokens=256, max_loras=1, max_cpu_loras=1, max_lora_rank=padded
        )
        fitting = [file for file in files if file.rank <= padded]
        names = {f"{index}": file.folder for index, file in enumerate(fitting * 2)}
        engine = Engine(model_dir, limits, names, options)
        vocab = engine.architecture.shape.vocab_size
        prompt = [1 + i % (vocab - 1) for i in range(64)]  # work between loads, as a server has it
        for turn in range(rounds + 1):
            cold = turn % 4 == 3
            for index, file in enumerate(fitting * 2):
                if cold:
                    drop_from_page_cache(file.folder / "adapter_model.safetensors")
                engine.add_request(prompt, adapter=str(index), max_tokens=1, ignore_eos=True)
                while engine.busy:
                    engine.step()
                record = engine.books.loads[-1]
                if turn and record.name == str(index):
                    parameters = {
                        "rank": float(file.rank), "padded_rank": float(padded), "bytes": file.weight_bytes,
                    }  # fmt: skip
                    kind = "disk_cold" if cold else "disk_warm"
                    samples.add(kind, parameters, record.disk_s)
        engine.close()
        _measure_slots(Engine(model_dir, _holding(limits, len(names)), names, options), samples, rounds)
        samples.set_fact(f"loads {padded}", "done")


def _holding(limits: EngineLimits, count: int) -> EngineLimits:
    return limits.model_copy(update={"max_cpu_loras": count})


def _measure_slots(engine: Engine, samples: Samples, rounds: int) -> None:
    """From host memory, where each has lain for a while: just read, it would still be in the cache."""
    prompt = [1 + i % (engine.architecture.shape.vocab_size - 1) for i in range(64)]
    for _ in range(rounds + 1):
        for name in engine.adapters:
            engine.add_request(prompt, adapter=name, max_tokens=1, ignore_eos=True)
            while engine.busy:
                engine.step()
            record = engine.books.loads[-1]
            if not record.from_disk:
                samples.add("slot", {"padded_rank": float(engine.limits.max_lora_rank)}, record.slot_s)
    engine.close()


def measure_merges(engine: Engine, folder: Path, rank: int, samples: Samples, rounds: int) -> None:
    """Merge an adapter into the weights and take it out again."""
    for _ in range(rounds):
        samples.add("merge", {"rank": float(rank)}, engine.merge_adapter(folder))
        samples.add("unmerge", {"rank": float(rank)}, engine.unmerge_adapter())


def drop_from_page_cache(file: Path) -> bool:
    """Make the next read come from the disk; False where the system cannot do that."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
