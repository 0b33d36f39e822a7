"""How servers differ: how a request names an adapter, and how an answer's length is forced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from advisor.errors import InputError

AdapterField = Literal["model", "lora", "model or empty", "base:model"]


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One engine's server."""

    name: str
    adapter_field: AdapterField
    token_ids: bool  # /v1/completions takes a prompt as token ids
    force: dict[str, Any]  # fields that force the length; MAX stands for the wanted tokens
    note: str = ""
    mixes_adapters: bool = True  # requests of different adapters share a step
    prompts_apart: bool = False  # prompts have steps of their own, and decodes wait


MAX: Final = "MAX"
KINDS: Final[dict[str, ServerKind]] = {
    kind.name: kind
    for kind in (
        ServerKind("vllm", "model", True, {"ignore_eos": True, "min_tokens": MAX}),
        ServerKind("builtin", "model", True, {"ignore_eos": True, "min_tokens": MAX}),
        ServerKind(
            "sglang", "base:model", True, {"ignore_eos": True, "min_tokens": MAX}, prompts_apart=True
        ),
        ServerKind("lorax", "model or empty", False, {"ignore_eos_token": True}),
        ServerKind("tgi", "model", False, {}, "answers may end early: it has no field that forces a length."),
        ServerKind(
            "llama.cpp", "lora", True, {"ignore_eos": True, "cache_prompt": False},
            "adapters are numbered: write --adapter NAME=NUMBER.", mixes_adapters=False,
        ),
    )
}  # fmt: skip


def body_of(
    kind: ServerKind, model: str, adapter: str | None, prompt: list[int] | str, output_tokens: int
) -> dict[str, Any]:
    """A streaming completion request.

    Args:
        kind: whose server.
        model: name of the base there.
        adapter: name (or number) of the adapter there; None: the base.
        prompt: token ids or text.
        output_tokens: wanted answer length.

    Raises:
        InputError: llama.cpp's adapters must be numbers.
    """
    body: dict[str, Any] = {
        "model": model, "prompt": prompt, "max_tokens": output_tokens, "stream": True, "temperature": 0.0,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    body |= {name: output_tokens if value == MAX else value for name, value in kind.force.items()}
    if kind.adapter_field == "lora":
        body["lora"] = (
            [{"id": 0, "scale": 0.0}] if adapter is None else [{"id": _number(adapter), "scale": 1.0}]
        )
    elif kind.adapter_field == "model or empty":  # LoRAX: the base has no name, adapter_id is of /generate
        body["model"] = adapter or ""
    elif adapter is not None:
        body["model"] = f"{model}:{adapter}" if kind.adapter_field == "base:model" else adapter
    return body


def _number(adapter: str) -> int:
    if not adapter.isdigit():
        raise InputError(f"--adapter names {adapter!r}; allowed for llama.cpp: its number, NAME=0.")
    return int(adapter)
