"""What differs between the engines whose tables are imported: graphs, kernels, and what is carried over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from advisor.catalog.capabilities import engine as catalog_engine
from advisor.errors import InputError
from advisor.profile import Provenance
from advisor.spec.device import Device

CAPTURED = (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16))
CAPTURED_DATACENTRE_BLACKWELL = (*CAPTURED, *range(528, 1025, 16))
"""vLLM's captured sizes (facts.md 1.1)."""

_Term = TypeVar("_Term", bound=Provenance)
_BLACKWELL: Final = ("B200-SXM", "B300-SXM", "GB200", "GB300")
_NO_GRAPHS: Final = ("Arc Pro B60",)
_SGLANG: Final = (1, 2, 4, 8, 12, *range(16, 257, 8), *range(272, 513, 16))


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """An engine with tables.

    Args:
        tables: its name in the tables.
        name: its name in the catalog.
        captured: sizes of its graphs on a device.
        one_kernel: its tables hold several attention kernels for the same shapes; the most measured counts.
        carried_from: whose host, LoRA, memory and start-up are taken; empty if its own.
        notes: what a reader of the profile must know.
    """

    tables: str
    name: str
    captured: Callable[[Device], tuple[int, ...]]
    one_kernel: bool = False
    carried_from: str = ""
    notes: tuple[str, ...] = ()


def _vllm(device: Device) -> tuple[int, ...]:
    if device.name in _NO_GRAPHS:
        return ()
    return CAPTURED_DATACENTRE_BLACKWELL if device.name in _BLACKWELL else CAPTURED


def _sglang(device: Device) -> tuple[int, ...]:
    """SGLang's server_args: up to the default number of running requests."""
    seats, _ = catalog_engine("sglang").default_limits(device)
    return tuple(size for size in _SGLANG if size <= seats)


ENGINES: Final = {
    "vllm": EngineFacts("vllm", "vllm", _vllm),
    "sglang": EngineFacts(
        "sglang",
        "sglang",
        _sglang,
        one_kernel=True,
        carried_from="vLLM's, in place of SGLang's",
        notes=(
            "Host, LoRA, front end, memory and start-up are vLLM's: SGLang's are not public.",
            "SGLang gives prompts steps of their own; the simulator mixes them with decodes, as vLLM does.",
        ),
    ),
    "trtllm": EngineFacts(
        "trtllm",
        "trt-llm",
        lambda _: (),
        one_kernel=True,
        carried_from="vLLM's, in place of TensorRT-LLM's",
        notes=(
            "Host, LoRA, front end, memory and start-up are vLLM's: TensorRT-LLM's are not public.",
            "Steps are not padded to captured sizes: which it captures depends on how it was built.",
        ),
    ),
}


def facts_of(engine: str) -> EngineFacts:
    """An engine by its name in the tables or the catalog (InputError)."""
    for facts in ENGINES.values():
        if engine in (facts.tables, facts.name):
            return facts
    raise InputError(f"--engine is {engine}; allowed: {', '.join(ENGINES)}.")


def borrowed(term: _Term, facts: EngineFacts, width: float) -> _Term:
    """A term carried over from another engine: said, its interval wider by a factor. Its own stays so."""
    if not facts.carried_from:
        return term
    low, high = term.interval
    update = {
        "source": f"{facts.carried_from}: {term.source}",
        "interval": (float(f"{low / width:.2g}"), float(f"{high * width:.2g}")),
    }
    return term.model_copy(update=update)
