"""`calibrate endpoint`: a profile of somebody's server, from outside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibration.commands.terminal import check_new, clear_errors, command_line, example, progress, seconds

if TYPE_CHECKING:
    from advisor.profile import Profile
    from advisor.spec.device import Device
    from advisor.spec.engine import EngineLimits
    from calibration.endpoint.whole import Wish


@click.command(
    epilog=example(
        "calibrate endpoint --url http://gpu1:8000 --model Llama-3.1-8B --device H100-80-SXM --out mine.json",
        "calibrate endpoint --url http://gpu1:8000 --model base --shape Llama-3.1-8B --device L40S \\",
        "  --adapter sql --adapter chat --max-loras 4 --max-lora-rank 16 --budget 5min --out mine.json",
    )
)
@click.option("--url", required=True, help="The server, such as http://127.0.0.1:8000; asked alone.")
@click.option("--model", required=True, help="The base model's name there.")
@click.option("--adapter", "adapters", multiple=True, metavar="NAME[=PATH]",
              help="An adapter's name there (for churn with its path there); repeatable.")  # fmt: skip
@click.option("--shape", default=None, metavar="NAME",
              help="Its sizes: catalog name, config.json or folder; --model if left out.")  # fmt: skip
@click.option("--device", required=True, metavar="NAME",
              help="What it runs on: a device of the catalog, or cpu for this machine's.")  # fmt: skip
@click.option("--tensor-parallel", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--server", default="vllm", show_default=True,
              type=click.Choice(["vllm", "builtin", "sglang", "lorax", "tgi", "llama.cpp"]),
              help="Whose server it is.")  # fmt: skip
@click.option("--max-num-seqs", type=click.IntRange(1, 65536), default=None,
              help="As the server was started; the engine's default if left out.")  # fmt: skip
@click.option("--max-num-batched-tokens", type=click.IntRange(1, 1_000_000), default=None)
@click.option("--max-loras", type=click.IntRange(1, 4096), default=None)
@click.option("--max-cpu-loras", type=click.IntRange(1, 100_000), default=None,
              help="As the server was started; --max-loras if left out.")  # fmt: skip
@click.option("--max-lora-rank", type=click.IntRange(1, 512), default=16, show_default=True)
@click.option("--budget", default="5min", show_default=True, help="How long to measure.")
@click.option("--max-requests", type=click.IntRange(10, 1_000_000), default=5000, show_default=True)
@click.option("--max-concurrency", type=click.IntRange(2, 1024), default=32, show_default=True,
              help="Requests at once; the saturation ramp ends there at the latest.")  # fmt: skip
@click.option("--longest-prompt", type=click.IntRange(64, 1_000_000), default=None,
              help="Tokens; what the server takes, 4096 at most, if left out.")  # fmt: skip
@click.option("--allow-adapter-churn", "churn", is_flag=True,
              help="Unload and load the adapters through the server's API.")  # fmt: skip
@click.option("--timeout", default="60s", show_default=True, help="Of one request.")
@click.option("--api-key-env", default="", metavar="NAME", help="Variable that holds the server's key.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Profile to write: NAME.json.")
@click.option("--force", is_flag=True, help="Overwrite the profile and its samples.")
def endpoint(out: Path, *, force: bool, **given: Any) -> None:
    """Measure a running server from outside, and write a profile.

    Sends streaming completions whose prompts never repeat: single prompts, streams side by side, each for
    the base and for adapters, then more and more streams until the server gives no more. Whoever uses the
    server meanwhile feels it. Raw figures go to NAME.samples.jsonl beside the profile.
    """
    with clear_errors():
        from advisor.profile import save_profile
        from calibration.endpoint.samples import save_findings
        from calibration.endpoint.whole import calibrate_endpoint

        samples = out.with_suffix(".samples.jsonl")
        for path in (out, samples):
            check_new(path, "--out", force=force)
        wish = _wish(given)
        with progress() as tell:
            profile, findings = calibrate_endpoint(wish, tell)
        profile = profile.model_copy(update={"name": out.stem, "raw": {"samples": samples.name}})
        findings.facts["created"] = profile.created.isoformat()  # tells which profile the samples are of
        save_findings(findings, samples)
        save_profile(profile, out)
    click.echo(_told(profile, out))


def _wish(given: dict[str, Any]) -> Wish:
    from advisor.catalog.resolve import resolve_model
    from calibration.endpoint.ask import Bounds
    from calibration.endpoint.cold import paths_of
    from calibration.endpoint.whole import Wish
    from calibration.replay.client import Target
    from calibration.replay.servers import KINDS

    adapters = paths_of(given["adapters"], needed=given["churn"])
    if given["server"] == "llama.cpp":
        adapters = _numbered(adapters, churn=given["churn"])
    device = _device(given["device"])
    target = Target(
        url=given["url"],
        model=given["model"],
        kind=KINDS[given["server"]],
        api_key_env=given["api_key_env"],
        timeout_s=seconds(given["timeout"], "--timeout"),
        max_concurrency=given["max_concurrency"],
    )
    target.endpoint()
    target.headers()
    return Wish(
        target=target,
        adapters=adapters,
        shape=resolve_model(given["shape"] or given["model"], Path()),
        limits=_limits(given, device, len(adapters)),
        device=device,
        bounds=Bounds(seconds(given["budget"], "--budget"), given["max_requests"], given["max_concurrency"]),
        tensor_parallel=given["tensor_parallel"],
        longest_tokens=given["longest_prompt"],
        churn=given["churn"],
        seed=given["seed"],
        command=command_line(),
    )


def _numbered(adapters: dict[str, str], *, churn: bool) -> dict[str, str]:
    """llama.cpp knows its adapters by number: NAME=NUMBER or NUMBER; its API loads none."""
    from advisor.errors import InputError

    if churn:
        raise InputError("--allow-adapter-churn: llama.cpp loads adapters at its start alone. Leave it out.")
    numbers = [number or name for name, number in adapters.items()]
    for text in numbers:
        if not text.isdigit():
            raise InputError(
                f"--adapter is {text!r}; allowed for llama.cpp: NAME=NUMBER or NUMBER, the adapter's place "
                "among the server's --lora files, from 0."
            )
    return dict.fromkeys(numbers, "")


def _limits(given: dict[str, Any], device: Device, adapters: int) -> EngineLimits:
    """As the server was started; what is left out is the engine's default on this device."""
    from advisor.catalog.capabilities import engine
    from advisor.errors import InputError
    from advisor.spec.engine import Batching, EngineLimits
    from calibration.replay.servers import KINDS

    seats, budget = given["max_num_seqs"], given["max_num_batched_tokens"]
    block = 16
    batching: Batching = "mixed"
    if given["server"] != "builtin":
        row = engine(given["server"])
        usual = row.default_limits(device)
        seats, budget = seats or usual[0], budget or usual[1]
        block, batching = row.kv_block_tokens, row.batching
    slots = given["max_loras"] or (1 if adapters else 0)
    cached = given["max_cpu_loras"] or slots
    if not KINDS[given["server"]].mixes_adapters:
        if slots > 1:
            raise InputError(
                f"--max-loras is {slots}; allowed for {given['server']}: 1, as it never computes two "
                "adapters in one step."
            )
        cached = max(adapters, slots)  # all are in memory from the start
    if cached < slots:
        raise InputError(f"--max-cpu-loras is {cached}; allowed: at least --max-loras, {slots}.")
    return EngineLimits(
        max_num_seqs=seats or 16,
        max_num_batched_tokens=budget or 256,
        max_loras=slots,
        max_cpu_loras=cached,
        max_lora_rank=given["max_lora_rank"] if slots else 0,
        kv_block_tokens=block,
        batching=batching,
    )


def _device(name: str) -> Device:
    if name == "cpu":
        from calibration.endpoint.processor import this_processor

        return this_processor()
    from advisor.catalog.hardware import device

    return device(name)


def _told(profile: Profile, out: Path) -> str:
    terms = profile.models[0]
    lines = [f"{out}: {profile.engine} on {profile.device.name}, {terms.model.name}", *profile.notes]
    if profile.residual is not None:
        left = profile.residual
        lines.append(
            f"Held to {left.points} steps of the ramp that no fit saw: median {left.median_relative:+.1%}, "
            f"nine in ten within {left.p90_absolute_relative:.1%}."
        )
    return "\n".join(lines)
