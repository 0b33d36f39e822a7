"""What `calibrate merge-check` found: how much of an adapter survives in merged weights.

Schema version 1. `advisor` reads it to say what merging would lose.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from advisor.errors import validated
from advisor.files import read_json
from advisor.spec.spec import Spec

Stored = Literal["float32", "bfloat16", "float16", "fp8", "int4"]
STORED: Final[tuple[Stored, ...]] = ("float32", "bfloat16", "float16", "fp8", "int4")
SAFE_ERROR: Final = 0.2
"""Of the delta: up to here merging is called safe."""
LOSSY_ERROR: Final = 0.5
"""Up to here lossy; above, it is better to serve unmerged."""
_MAX_BYTES: Final = 64 * 2**20


class ModuleCheck(Spec):
    """One module of one layer in one type."""

    layer: int
    module: str
    delta_over_weight: float = Field(description="|Δ| / |W|, Frobenius.")
    kept: float = Field(description="Share of the delta along itself that is left; 1: all.")
    error: float = Field(description="|Δ' - Δ| / |Δ|.")
    unchanged: float = Field(description="Share of the weights that the merge leaves as they are.")


class TypeCheck(Spec):
    """All modules in one type, and what it does to answers."""

    stored: Stored
    kept: float = Field(description="Over all modules, by the square of the delta.")
    error: float
    unchanged: float
    worst: ModuleCheck
    parity: Parity | None = Field(None, description="Merged in this type against unmerged; null: not asked.")


class Parity(Spec):
    """Answers of the merged model beside those of base and unmerged adapter."""

    prompts: int
    mean_kl_nats: float = Field(description="KL(unmerged || merged), mean over tokens.")
    base_kl_nats: float = Field(description="KL(unmerged || base): what not merging at all would be off.")
    same_likeliest: float = Field(description="Share of places with the same most likely token.")


class MergeCheck(Spec):
    """The whole check."""

    schema_version: Literal[1] = 1
    model: str
    adapter: str
    rank: int
    types: tuple[TypeCheck, ...]
    modules: tuple[tuple[ModuleCheck, ...], ...] = Field(description="One list a type, in the types' order.")

    def of(self, stored: str) -> TypeCheck | None:
        """What was found for weights stored in a type; None: it was not looked at."""
        return next((one for one in self.types if one.stored == stored), None)

    @property
    def advice(self) -> str:
        """One sentence a type."""
        said = []
        for check in self.types:
            error = f"an error of {check.error:.0%} of the delta"
            if check.error <= SAFE_ERROR:
                said.append(f"{check.stored}: safe to merge, {error}.")
            elif check.error <= LOSSY_ERROR:
                said.append(f"{check.stored}: lossy, {error}; compare answers before you merge.")
            else:
                said.append(f"{check.stored}: serve unmerged, {error}.")
        return " ".join(said)


TypeCheck.model_rebuild()


def load_merge_check(path: Path) -> MergeCheck:
    """Read what `calibrate merge-check --json` printed.

    Raises:
        InputError: no such file, or not the form of a merge check.
    """
    return validated(MergeCheck, read_json(path, schema_version=1, max_bytes=_MAX_BYTES), str(path))
