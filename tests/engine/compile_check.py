"""The Triton kernels go through the compiler for a GPU, down to machine code; this needs no GPU."""

from __future__ import annotations

import sys
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from calibration.engine import attention_triton, lora_triton

ARCHITECTURES = (80, 90)  # A100, H100
SHARED_BYTES = 99 * 1024  # a block's share on small GPUs of these generations


def compiled(kernel: Any, kinds: dict[str, str], constants: dict[str, int], architecture: int) -> None:
    """Compile for a GPU; arguments that are 1 are constants, as at a launch.

    Fails on what only compiled code may not do, and on too much shared memory.
    """
    signature = {name: kinds.get(name, "i32") for name in kernel.arg_names}
    signature |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, signature, constants)
    done = compile(source, target=GPUTarget("cuda", architecture, 32))
    assert done.asm["cubin"]
    assert done.metadata.shared <= SHARED_BYTES


def attention(architecture: int, parts: int, rows: int, **ones: int) -> None:
    half, out = "*bf16", "*bf16" if parts == 1 else "*fp32"
    kinds = {"query": half, "keys": half, "values": half, "tables": "*i32", "positions": "*i64"}
    kinds |= {"out": out, "sums": out, "scale": "fp32"}
    sizes = {"BLOCK": 16, "PARTS": parts, "ROWS": rows, "KV": 64, "DIM": 128, **ones}
    compiled(attention_triton._attend, kinds, sizes, architecture)


def main() -> None:
    for architecture in ARCHITECTURES:
        attention(architecture, parts=1, rows=16)
        attention(architecture, parts=16, rows=64)
        attention(architecture, parts=16, rows=16, sequences=1, width=1, kv_heads=1, share=1)
        kinds = {"parts": "*fp32", "sums": "*fp32", "out": "*bf16"}
        compiled(attention_triton._join, kinds, {"PARTS": 16, "DIM": 128}, architecture)
        kinds = {"x": "*bf16", "a": "*bf16", "h": "*bf16", "tiles": "*i32", "b": "*bf16", "out": "*bf16"}
        sizes = {"TOKENS": 16, "COLUMNS": 64}
        compiled(lora_triton._shrink, kinds, {**sizes, "DEPTH": 64}, architecture)
        compiled(lora_triton._expand, kinds, {**sizes, "RANK": 64}, architecture)
        compiled(lora_triton._expand, kinds, {**sizes, "RANK": 16, "rank": 1}, architecture)
    sys.stdout.write(f"{7 * len(ARCHITECTURES)} kernels compiled\n")


if __name__ == "__main__":
    main()
