"""Options that describe a live engine, the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from calibration.engine.speculate import ModelDraft, NgramDraft
    from calibration.livesetup import LiveSetup

_OPTIONS: Final = (
    click.option("--model", default="tiny", show_default=True, metavar="NAME",
                 help="tiny, a model folder, a config.json, or a catalog name (random weights)."),
    click.option("--adapter", "adapters", multiple=True, metavar="[NAME=]DIR",
                 help="PEFT folder; repeatable."),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
    click.option("--dtype", default="auto", show_default=True, help="auto, float32, bfloat16 or float16."),
    click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True,
                 help="Of torch on a CPU; no more than cores that are free."),
    click.option("--max-loras", type=click.IntRange(0, 4096), default=None,
                 help="Adapter slots; as many as adapters, 8 at most, if left out."),
    click.option("--max-cpu-loras", type=click.IntRange(0, 100_000), default=None,
                 help="Adapters kept in host memory; all of them if left out."),
    click.option("--max-lora-rank", type=click.IntRange(1, 512), default=16, show_default=True),
    click.option("--max-num-seqs", type=click.IntRange(1, 4096), default=16, show_default=True),
    click.option("--max-num-batched-tokens", type=click.IntRange(1, 1_000_000), default=256,
                 show_default=True),
    click.option("--kv-blocks", type=click.IntRange(1, 10_000_000), default=1024, show_default=True,
                 help="Blocks of 16 tokens."),
    click.option("--draft", default=None, metavar="DIR|ngram", help="Speculative decoding by this draft."),
    click.option("--draft-length", type=click.IntRange(1, 16), default=3, show_default=True),
)  # fmt: skip
_FIELDS: Final = (
    "model", "adapters", "device", "dtype", "threads", "max_loras", "max_cpu_loras", "max_lora_rank",
    "max_num_seqs", "max_num_batched_tokens", "kv_blocks", "draft", "draft_length",
)  # fmt: skip


def engine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as `wish`, a mapping."""

    @wraps(function)
    def with_wish(**given: Any) -> Any:
        return function(wish={name: given.pop(name) for name in _FIELDS}, **given)

    for option in reversed(_OPTIONS):
        with_wish = option(with_wish)
    return with_wish


def setup_of(wish: dict[str, Any], *, slots: int | None = None) -> LiveSetup:
    """The live set-up that the options describe; also sets torch's threads.

    Args:
        wish: the options.
        slots: adapter slots where --max-loras is left out; None: as many as adapters, 8 at most.

    Raises:
        InputError: a model, adapter or limit that cannot be.
    """
    from advisor.spec.engine import EngineLimits
    from calibration.engine.options import EngineOptions
    from calibration.livesetup import LiveSetup, set_threads
    from calibration.modelfiles import model_folder, named_adapters

    set_threads(wish["threads"])
    folder = model_folder(wish["model"], dtype=wish["dtype"])
    adapters = named_adapters(wish["adapters"], wish["model"])
    slots = min(8, len(adapters)) if slots is None else slots
    slots = slots if wish["max_loras"] is None else wish["max_loras"]
    cached = wish["max_cpu_loras"]
    limits = EngineLimits(
        max_num_seqs=wish["max_num_seqs"],
        max_num_batched_tokens=wish["max_num_batched_tokens"],
        max_loras=slots,
        max_cpu_loras=max(slots, len(adapters) if cached is None else cached),
        max_lora_rank=wish["max_lora_rank"] if slots else 0,
    )
    options = EngineOptions(
        wish["kv_blocks"], wish["dtype"], wish["device"], draft_of(wish["draft"], wish["draft_length"])
    )
    return LiveSetup(folder, limits, options, adapters if slots else {})


def draft_of(name: str | None, length: int) -> NgramDraft | ModelDraft | None:
    """The draft of an option: ngram, a model folder, or a draft of the tiny family by its name."""
    from calibration import tinymodels
    from calibration.engine.speculate import ModelDraft, NgramDraft

    if name is None:
        return None
    if name == "ngram":
        return NgramDraft(length)
    if not Path(name).exists() and name in ("stock", *tinymodels.STYLES):
        return ModelDraft(length, tinymodels.draft_dirs()[name])
    return ModelDraft(length, name)
