"""Known models: sizes of those whose step time is modelled, and why the others are not."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from pydantic import Field

from advisor.catalog.tables import lookup_key, rows, unknown
from advisor.errors import InputError
from advisor.spec.model import ModelShape
from advisor.spec.spec import Spec, WeightsDtype

_VARIANTS: Final = ("-instruct", "-chat", "-base", "-hf", "-it")  # same sizes as the model without the ending
_FP8_ENDINGS: Final = ("-fp8-dynamic", "-fp8")
_UNSERVED_ENDINGS: Final = (
    "-awq",
    "-gptq",
    "-int4",
    "-int8",
    "-w4a16",
    "-w8a8",
    "-4bit",
    "-8bit",
    "-gguf",
    "-nvfp4",
)


class ModelRow(ModelShape):
    """One model that is modelled. A row of models.csv."""

    aliases: str = Field("", description="Other names, with ';' between them.")
    source: str = Field(min_length=1, description="Where these sizes were read.")
    date: str = Field(min_length=1, description="When the source was read.")


class UnmodelledRow(Spec):
    """A model that people ask for and that the step-time model does not cover. A row of not_modelled.csv."""

    name: str = Field(min_length=1)
    reason: str = Field(min_length=1, description="Reads on after the name: 'is a mixture of experts'.")
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)


def model(name: str) -> ModelShape:
    """Return a model by name, whatever its case, organisation and ending (-Instruct, -FP8, ...).

    Raises:
        InputError: not known (with the nearest name), or known and not modelled (with the reason).
    """
    wanted = _bare(name)
    known = {alias: row for row in _rows() for alias in _names(row)}
    for ending in ("", "fp8"):
        row = known.get(wanted.removesuffix(ending)) if wanted.endswith(ending) else None
        if row is not None:
            return _shape(row, is_fp8=bool(ending))
    if name.strip().casefold().endswith(_UNSERVED_ENDINGS):
        raise InputError(
            f"model {name[:80]!r} has weights whose kernels are not modelled; allowed: 16-bit or fp8 weights."
        )
    refuse_unmodelled(name)
    raise unknown("model", name, [row.name for row in _rows()])


def models() -> tuple[ModelShape, ...]:
    """Return every model of the catalog."""
    return tuple(_shape(row, is_fp8=False) for row in _rows())


def not_modelled() -> tuple[UnmodelledRow, ...]:
    """Return the known models that are not modelled, each with the reason."""
    return rows("not_modelled.csv", UnmodelledRow, lambda row: _bare(row.name))


def refuse_unmodelled(name: str) -> None:
    """Raise InputError with the reason if the model is known and not modelled."""
    wanted = _bare(name)
    for row in not_modelled():
        if _bare(row.name) in (wanted, wanted.removesuffix("fp8")):
            raise InputError(
                f"model {row.name} {row.reason}; modelled are dense models with full attention only."
            )


def _rows() -> tuple[ModelRow, ...]:
    return rows("models.csv", ModelRow, lambda row: _bare(row.name))


def _shape(row: ModelRow, *, is_fp8: bool) -> ModelShape:
    changes = {"name": f"{row.name}-FP8", "weights_dtype": WeightsDtype.FP8} if is_fp8 else {}
    fields = {name: getattr(row, name) for name in ModelShape.model_fields}
    return ModelShape.model_validate({**fields, "source": f"{row.source} ({row.date})", **changes})


def _names(row: ModelRow) -> set[str]:
    return {_bare(name) for name in (row.name, *row.aliases.split(";")) if name}


@lru_cache(maxsize=4096)
def _bare(name: str) -> str:
    """Return a name without organisation, case, 'Meta-' and the endings that do not change sizes."""
    bare = name.strip().rstrip("/").rsplit("/", 1)[-1].casefold().replace("_", "-").replace(" ", "-")
    bare = bare.removeprefix("meta-")
    fp8 = next((ending for ending in _FP8_ENDINGS if bare.endswith(ending)), "")
    bare = bare.removesuffix(fp8)
    for variant in _VARIANTS:
        bare = bare.removesuffix(variant)
    return lookup_key(f"{bare}{'fp8' if fp8 else ''}")
