"""`advisor sweep`: a scenario asked at every point of a grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from advisor.cli import options, terminal

if TYPE_CHECKING:
    from advisor.study.answers import Places
    from advisor.study.store import Store
    from advisor.study.sweep import Sweep
    from advisor.study.workers import Workers

_ENDED: Final = {
    "holds": "meet the objective",
    "breaks": "do not",
    "infeasible": "cannot run",
    "refused": "make no sense",
}


def _workers_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--jobs and --ray, handed on as `workers`."""

    @wraps(function)
    def with_workers(jobs: int | None, ray: str | None, **rest: Any) -> Any:
        from advisor.study.workers import Cores, RayCluster, cores

        return function(workers=Cores(jobs or cores()) if ray is None else RayCluster(ray, jobs), **rest)

    jobs_option = click.option(
        "--jobs",
        type=click.IntRange(1, options.MOST_JOBS),
        metavar="N",
        help="Processes, or Ray workers; one a core (or a CPU of the cluster) if left out.",
    )
    ray_option = click.option(
        "--ray",
        metavar="ADDRESS",
        help="Compute on a Ray cluster: auto or host:port joins one, local starts one here.",
    )
    return jobs_option(ray_option(with_workers))


@click.command(
    epilog=options.example(
        "advisor sweep study.yaml --out study.parquet\nadvisor sweep study.yaml --ray auto",
        "Exit codes: 0 every point is in the file, whether its objective holds or not; 2 input to mend; "
        "130 interrupted: the same command goes on.",
    )
)
@click.argument("study")
@click.option(
    "--out",
    metavar="FILE",
    help="The result, one row a point: .parquet. STUDY's name in this folder if left out.",
)
@_workers_options
@click.option("--fresh", is_flag=True, help="Drop what --out holds of an earlier run, and start anew.")
@click.option("--dry-run", is_flag=True, help="Check every point and say how many there are; compute none.")
@options.inputs
@options.face
def sweep(
    study: str,
    out: str | None,
    workers: Workers,
    fresh: bool,
    dry_run: bool,
    inputs: options.Inputs,
    face: options.Face,
) -> int:
    """Answer a scenario at every point of a grid (STUDY, a YAML file), resuming where it was stopped.

    Load, adapters, ranks, devices, ways, replicas, slots and seeds can be varied; docs/reference/study.md
    has every field. The file does not depend on the number of processes, nor on how often it was stopped.
    """
    from advisor.files import check_target
    from advisor.study.grid import load_study, scenario_place
    from advisor.study.store import Store, mark_of
    from advisor.study.sweep import plan
    from advisor.study.sweep import sweep as swept

    target = _target(study, out)
    check_target(target)
    asked = load_study(study)
    place = scenario_place(asked, study)
    question, _, folder = options.read_inputs(str(place), inputs)
    places = _places(folder, inputs)
    tasks = plan(asked, question, places)
    store = Store(target, mark_of(asked, question, places))
    if fresh and not dry_run:
        store.forget()
    if dry_run:
        return _planned(asked.name, len(tasks), store, face)
    terminal.tell(f"{asked.name}: {len(tasks):,} points on {workers.words}, to {target}", face.silent)
    with terminal.Progress(silent=face.silent) as progress:
        done = swept(tasks, store, workers, progress)
    _say(asked.name, target, done, face)
    return 0


def _target(study: str, out: str | None) -> Path:
    from advisor.errors import InputError

    if out is None:
        return Path("study.parquet" if study == "-" else f"{Path(study).stem}.parquet")
    if Path(out).suffix != ".parquet":
        raise InputError(f"{out}: is no Parquet file name; allowed: a name that ends in .parquet.")
    return Path(out)


def _places(folder: Path, inputs: options.Inputs) -> Places:
    """Where workers find the files, by full paths: they may start elsewhere."""
    from advisor.study.answers import Places

    files = None
    if inputs.profiles_folder is not None:
        options.read_profiles(inputs.profiles_folder)  # says what is wrong with them, once
        files = tuple(sorted(Path(inputs.profiles_folder).resolve().glob("*.json")))
    catalog = None if inputs.catalog_path is None else Path(inputs.catalog_path).resolve()
    return Places(folder.resolve(), files, catalog)


def _planned(name: str, points: int, store: Store, face: options.Face) -> int:
    known = len(store.known())
    if face.as_json:
        terminal.say(json.dumps({"schema_version": 1, "study": name, "points": points, "known": known}))
    else:
        terminal.say(f"{name}: {points:,} points, all of them sound; {known:,} rows are known already.")
    return 0


def _say(name: str, target: Path, done: Sweep, face: options.Face) -> None:
    if face.as_json:
        found = {
            "schema_version": 1,
            "study": name,
            "out": str(target),
            "points": done.points,
            "computed": done.computed,
            "dropped": done.dropped,
            "statuses": done.statuses,
        }
        terminal.say(json.dumps(found, indent=2))
        return
    ended = ", ".join(
        f"{done.statuses[key]:,} {words}" for key, words in _ENDED.items() if done.statuses.get(key)
    )
    known = done.points - done.computed
    terminal.say(f"{name}: {done.points:,} points in {target}: {ended}.")
    if known:
        terminal.tell(f"{known:,} of them were known already.", face.quiet)
    if done.dropped:
        terminal.tell(f"{done.dropped:,} rows were left out: the grid no longer names them.", face.quiet)
    if done.refusal:
        terminal.tell(f"A point that makes no sense says: {done.refusal}", face.quiet)
