"""`calibrate validate`, `acceptance`, `merge-check`: prediction beside measurement, drafts, merging."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from calibration.commands.engine import draft_of, engine_options, setup_of
from calibration.commands.terminal import as_json_option, clear_errors, example, progress, seconds


@click.command(epilog=example("calibrate validate --scenarios quick --budget 2min --out validation"))
@click.option("--model", default="tiny", show_default=True, help="tiny, or small (a made-up model of 30 M).")
@click.option("--profile", type=click.Path(path_type=Path), help="Measured first if left out.")
@click.option("--calibration-budget", default="60s", show_default=True, help="Where it is measured first.")
@click.option("--budget", help="For everything: shares it out, instead of the two lengths of time.")
@click.option("--scenarios", default="all", show_default=True, help="Names with ';' between, quick, or all.")
@click.option("--replays", type=click.IntRange(1, 20), default=2, show_default=True, help="Of each option.")
@click.option("--duration", default="10s", show_default=True, help="Of each replay.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of torch.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results and report.")
@click.option("--resume", is_flag=True, help="Keep the replays that the folder has.")
@as_json_option
def validate(*, as_json: bool, budget: str | None, **given: Any) -> None:
    """Calibrate, predict, replay several times, and print predicted beside measured.

    Writes report.json, report.html, each scenario's own file and every replay into the folder.
    """
    with clear_errors("Go on with --resume: finished replays are kept."):
        given["duration"] = seconds(given["duration"], "--duration")
        given["calibration_budget"] = seconds(given["calibration_budget"], "--calibration-budget")
        from calibration.validate.report import text, write_report
        from calibration.validate.whole import Asked, validate_all, within

        asked = Asked(**given)
        if budget is not None:
            asked = within(asked, seconds(budget, "--budget"))
        with progress(silent=as_json) as tell:
            result = validate_all(asked, tell)
        write_report(result, given["out"])
        click.echo(result.model_dump_json(indent=1) if as_json else text(result))


@click.command(
    epilog=example(
        "calibrate acceptance --draft stock --prompts base",
        "calibrate acceptance --draft stock --prompts base --profile mine.json",
        "calibrate acceptance --draft shout --for-adapter shout --prompts shout",
    )
)
@engine_options
@click.option("--for-adapter", default=None, help="Whose requests are drafted for; the base's if left out.")
@click.option("--prompts", "source", default="base", show_default=True,
              help="A held-out style of the tiny family, or a .jsonl of token lists or texts.")  # fmt: skip
@click.option("--count", type=click.IntRange(1, 100_000), default=32, show_default=True, help="Prompts.")
@click.option("--prompt-tokens", type=click.IntRange(1, 100_000), default=64, show_default=True)
@click.option("--output-tokens", type=click.IntRange(2, 100_000), default=64, show_default=True)
@click.option("--temperature", type=click.FloatRange(0, 10), default=0.0, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--profile", type=click.Path(path_type=Path), help="Write it into this profile's draft.")
@as_json_option
def acceptance(wish: dict[str, Any], profile: Path | None, *, as_json: bool, **given: Any) -> None:
    """Measure how often a draft's tokens are accepted, position by position."""
    import json

    with clear_errors():
        from advisor.errors import InputError
        from calibration.acceptance import measure_acceptance, with_acceptance
        from calibration.promptfiles import prompts_from

        if wish["draft"] is None:
            allowed = "allowed: ngram, a model folder, or a draft of the tiny family."
            raise InputError(f"--draft is missing; {allowed}")
        if profile is not None and given["for_adapter"] is not None:
            raise InputError(
                f"--profile with --for-adapter {given['for_adapter']}: a profile keeps the base's; "
                "allowed: one of the two. Write the adapter's as adapter_acceptance of the scenario's draft."
            )
        setup = setup_of(wish)
        prompts = prompts_from(
            given["source"], setup.model_dir, given["count"], given["prompt_tokens"], given["seed"]
        )
        found = measure_acceptance(
            setup,
            prompts,
            adapter=given["for_adapter"],
            output_tokens=given["output_tokens"],
            temperature=given["temperature"],
            seed=given["seed"],
        )
        if profile is not None:
            from advisor.profile import load_profile, save_profile

            draft = draft_of(wish["draft"], wish["draft_length"])
            assert draft is not None
            save_profile(with_acceptance(load_profile(profile), draft, found), profile)
    marginals = found.acceptance.marginals
    if as_json:
        rows = {"marginals": marginals, "low": found.low, "high": found.high, "length": found.length}
        counted = {"verify_steps": found.verify_steps, "prompts": found.prompts}
        asked = {"draft": wish["draft"], "adapter": given["for_adapter"], "temperature": given["temperature"]}
        whole = {"schema_version": 1, **asked, **rows, "drafted_share": found.drafted_share, **counted}
        click.echo(json.dumps(whole, indent=1))
        return
    click.echo(f"{found.verify_steps} verify steps of {found.prompts} prompts")
    for place, (share, low, high) in enumerate(zip(marginals, found.low, found.high, strict=True), 1):
        click.echo(f"at least {place} accepted: {share:.3f} ({low:.3f} to {high:.3f})")
    click.echo(f"acceptance length {found.length:.2f} tokens a verify step")


@click.command(name="merge-check", epilog=example("calibrate merge-check --adapter shout --prompts shout"))
@click.option("--model", default="tiny", show_default=True, help="tiny, or a model folder.")
@click.option("--adapter", required=True, help="PEFT folder, or a style of the tiny family.")
@click.option("--dtype", "stored", multiple=True, default=("bfloat16", "fp8", "int4"), show_default=True,
              help="Type of the merged weights; repeatable.")  # fmt: skip
@click.option("--prompts", "source", default=None,
              help="Also compare answers, as in `acceptance`; holds the model in float32.")  # fmt: skip
@click.option("--count", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Prompts.")
@click.option("--prompt-tokens", type=click.IntRange(2, 100_000), default=128, show_default=True)
@click.option("--modules", is_flag=True, help="One line a module.")
@as_json_option
def merge_check(stored: tuple[str, ...], *, modules: bool, as_json: bool, **given: Any) -> None:
    """Say how much of an adapter survives merging, before anyone merges."""
    with clear_errors():
        from calibration import tinymodels
        from calibration.mergecheck import merge_check as checked
        from calibration.modelfiles import model_folder
        from calibration.promptfiles import prompts_from

        folder = model_folder(given["model"])
        name = given["adapter"]
        tiny = given["model"] == "tiny" and name in tinymodels.STYLES
        adapter = tinymodels.adapter_dirs()[name] if tiny else Path(name)
        prompts: Sequence[Sequence[int]] = []
        if given["source"] is not None:
            prompts = prompts_from(given["source"], folder, given["count"], given["prompt_tokens"], 0)
        found = checked(folder, adapter, stored, prompts=prompts)  # type: ignore[arg-type]  # checked there
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    click.echo(f"{adapter.name}, rank {found.rank}, into {folder.name}")
    click.echo(f"{'stored as':10s} {'kept':>7s} {'error':>7s} {'unchanged':>10s}  answers")
    for check, rows in zip(found.types, found.modules, strict=True):
        parity, said = check.parity, ""
        if parity is not None:
            said = f"KL {parity.mean_kl_nats:.4f} nats (base {parity.base_kl_nats:.3f}), "
            said += f"same token {parity.same_likeliest:.1%}"
        click.echo(f"{check.stored:10s} {check.kept:7.1%} {check.error:7.1%} {check.unchanged:10.1%}  {said}")
        for row in rows if modules else ():
            click.echo(
                f"  layer {row.layer:3d} {row.module:10s} |d|/|W| {row.delta_over_weight:8.3%} kept "
                f"{row.kept:7.1%} error {row.error:7.1%}"
            )
    click.echo(found.advice)
