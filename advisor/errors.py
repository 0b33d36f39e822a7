"""What goes wrong, by whose turn it is. Errors hold data; a face renders them.

    AdvisorError                 nothing else is raised on purpose
    ├── InputError         2     scenario, profile, trace, option: the user's to mend; all problems at once
    ├── InfeasibleError    3     nothing meets the objective; carries the nearest miss and the bound to relax
    ├── MeasurementError   4     device, endpoint, late client: the run does not count; says what was kept
    └── Interrupted      130     stopped by the user; says how to resume

The number is the exit code. Any other exception is a fault of ours: a traceback, exit code 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from advisor.problem import ABSENT, Problem, printable

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = [
    "ABSENT",
    "AdvisorError",
    "InfeasibleError",
    "InputError",
    "Interrupted",
    "MeasurementError",
    "Miss",
    "Problem",
    "sentences_of",
    "validated",
]

_Model = TypeVar("_Model", bound="BaseModel")


class AdvisorError(Exception):
    """Root of everything that is raised on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(AdvisorError):
    """What a user gave cannot be used. Holds every problem found, in file order.

    Args:
        found: a finished sentence, a `Problem` (the data that a face shows at the field), or several.
    """

    exit_code = 2

    def __init__(self, found: str | Problem | Iterable[str | Problem]) -> None:
        given = (found,) if isinstance(found, str | Problem) else found
        self.problems = tuple(one if isinstance(one, Problem) else Problem(text=one) for one in given)
        super().__init__("\n".join(self.sentences))

    @property
    def sentences(self) -> tuple[str, ...]:
        """One clear sentence a problem."""
        return tuple(problem.sentence for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Miss:
    """The option that came nearest to the objective, and the bound it broke.

    Attributes:
        option: the way to serve, in words.
        bound: the bound's field name, such as `ttft_p99_s`.
        asked: the bound as given, in the field's unit.
        reached: what the option reached, in the same unit.
    """

    option: str
    bound: str
    asked: float
    reached: float

    @property
    def sentence(self) -> str:
        """The miss in words, with the bound to relax."""
        return (
            f"Nearest: {self.option}, with {self.bound} {self.reached:.4g} where {self.asked:.4g} is asked; "
            f"relax {self.bound} to {self.reached:.4g} to accept it."
        )


class InfeasibleError(AdvisorError):
    """No way to serve meets the objective."""

    exit_code = 3

    def __init__(self, message: str, nearest: Miss | None = None) -> None:
        self.nearest = nearest
        super().__init__(f"{message} {nearest.sentence}" if nearest else message)


class MeasurementError(AdvisorError):
    """A measurement or replay does not count (device, endpoint, drift, late client)."""

    exit_code = 4

    def __init__(self, message: str, kept: str = "") -> None:
        self.kept = kept
        super().__init__(printable(f"{message} Kept: {kept}." if kept else message))


class Interrupted(AdvisorError):  # noqa: N818 - InterruptedError is Python's own
    """The user stopped a long job; the message says how to resume."""

    exit_code = 130


def sentences_of(source: str, model: type[BaseModel], error: ValidationError) -> list[str]:
    """Say each problem that pydantic found in one clear sentence.

    Args:
        source: the file, option or address, as the user knows it.
        model: the model that was validated.
        error: what pydantic raised.
    """
    from advisor.sentences import problems_of

    return [problem.sentence for problem in problems_of(source, model, error)]


def validated(model: type[_Model], raw: Any, source: str, *, context: Any = None) -> _Model:
    """Read `raw` (from YAML or JSON) into a model, strictly.

    Args:
        model: the contract.
        raw: what the file holds: mappings, lists, texts, numbers, booleans, null; dates become ISO text.
        source: the file, option or address, as the user knows it.
        context: handed to the model's validators.

    Raises:
        InputError: with all problems at once, in file order.
    """
    from pydantic import ValidationError

    from advisor.rawdata import as_json, in_file_order
    from advisor.sentences import problems_of

    text, problems = as_json(raw, source)
    if text is not None:
        try:
            instance = model.model_validate_json(text, context=context)
        except ValidationError as error:
            spoiled = tuple(problem.field for problem in problems)
            problems += [p for p in problems_of(source, model, error) if not _lies_in(p.field, spoiled)]
        else:
            if not problems:
                return instance
        problems = in_file_order(problems, raw)
    raise InputError(problems)


def _lies_in(field: str, holders: Iterable[str]) -> bool:
    return any(field == holder or field.startswith((f"{holder}.", f"{holder}[")) for holder in holders)
