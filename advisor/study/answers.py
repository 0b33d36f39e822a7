"""One point's answer as one row, computed wherever a worker is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from advisor import api
from advisor.catalog.tables import use_catalog
from advisor.errors import InfeasibleError, InputError
from advisor.profile import Profile, load_profile
from advisor.recommendation import Option, Recommendation
from advisor.search.question import shipped, with_datasheets
from advisor.study.columns import Row, of_option
from advisor.study.points import Ask, Point


@dataclass(frozen=True, slots=True)
class Places:
    """Where a worker finds what is too large to be sent along; on a cluster each node must have them.

    Attributes:
        folder: where the scenario's relative paths start.
        profiles: files of device profiles; None: the shipped ones.
        catalog: the user's catalog, if there is one.
    """

    folder: Path
    profiles: tuple[Path, ...] | None = None
    catalog: Path | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One point, ready to be computed; it can be pickled."""

    point: Point
    ask: Ask
    places: Places


def answer(task: Task) -> tuple[Point, Row]:
    """Compute a point. What the advisor refuses on purpose is a row as well, with its reason."""
    row: Row
    try:
        row = _answered(task)
    except InfeasibleError as error:
        row = {"status": "infeasible", "reason": str(error)}
    except InputError as error:
        row = {"status": "refused", "reason": str(error)}
    return task.point, {f"at_{axis}": value for axis, value in task.point.at} | row


def _answered(task: Task) -> Row:
    places, ask = task.places, task.ask
    if places.catalog is not None:
        use_catalog(places.catalog)
    profiles = _profiles(places.profiles)
    if places.profiles is None:
        named = ask.scenario.devices if ask.choice is None else (ask.choice.device,)
        profiles = with_datasheets(ask.scenario.model_copy(update={"devices": named}), profiles)
    if ask.choice is not None:
        done = api.simulate(ask.scenario, ask.choice, profiles, folder=places.folder)
        requests = sum(len(trace) for _, trace, _ in done.pools)
        last_s = max((float(trace.arrival_s[-1]) for _, trace, _ in done.pools), default=0.0)
        return of_option(done.option) | {"rate_rps": requests / last_s if last_s else None}
    answer = api.recommend(ask.scenario, profiles, folder=places.folder, jobs=1)
    return of_option(_shown(answer)) | {"rate_rps": answer.workload.rate_rps}


def _shown(answer: Recommendation) -> Option:
    """The recommended option, or the one that came nearest."""
    if answer.recommended is not None:
        return answer.option(answer.recommended)
    candidates = [option for option in answer.options if not option.is_reference]
    return next((option for option in candidates if option.outcome is not None), candidates[0])


@lru_cache(maxsize=1)
def _profiles(files: tuple[Path, ...] | None) -> tuple[Profile, ...]:
    """Read the profiles once a process."""
    return shipped() if files is None else tuple(load_profile(file) for file in files)
