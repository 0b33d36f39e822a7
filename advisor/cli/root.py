"""`advisor`: the list of subcommands."""

from __future__ import annotations

import click

from advisor import __version__
from advisor.cli.lazy import LazyGroup

COMMANDS = {
    "demo": ("advisor.cli.demo:demo", "The main job on the shipped example, with a report to read."),
    "recommend": (
        "advisor.cli.recommend:recommend",
        "Rank every way to serve a scenario, and say which to take.",
    ),
    "simulate": ("advisor.cli.simulate:simulate", "Simulate one deployment of your own choice."),
    "explain": ("advisor.cli.explain:explain", "Why is this deployment slower than its base model?"),
    "breakeven": (
        "advisor.cli.breakeven:breakeven",
        "Where one way to serve begins to pay more than another.",
    ),
    "recipe": (
        "advisor.cli.recipe:recipe",
        "Write what to paste: command lines, compose, Kubernetes, merge script, load test, alerts.",
    ),
    "sweep": ("advisor.cli.sweep:sweep", "A scenario at every point of a grid, on all cores or on Ray."),
    "scenario": ("advisor.cli.scenario:scenario", "Print an example scenario, check your own."),
    "trace": ("advisor.trace.cli:trace", "Describe, convert, generate, fit and scale request traces."),
    "profile": (
        "advisor.cli.profile:profile",
        "List and show device profiles: what is measured, what estimated.",
    ),
    "catalog": (
        "advisor.cli.catalog:catalog",
        "Known models, devices, prices and engines, with source and date.",
    ),
    "app": ("advisor.cli.app:app", "Open the web app on this machine."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "\b\nExample:\n"
        "  advisor scenario example > mine.yaml\n"
        "  advisor recommend mine.yaml --report answer.html\n\n"
        "\b\nExit codes: 0 done; 1 a bug of ours; 2 input to mend; 3 nothing meets the objective;\n"
        "4 a measurement does not count; 130 interrupted."
    ),
)
@click.version_option(__version__, prog_name="advisor", message="%(prog)s %(version)s")
def root() -> None:
    """How to serve LoRA adapters on your device, for your traffic, at what cost, and why."""
