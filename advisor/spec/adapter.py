"""The adapters: how many, of which rank, on which modules, and how often each is asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from advisor.spec.model import ALL_LINEAR, Module
from advisor.spec.spec import Spec

Rank = Annotated[int, Field(ge=1, le=512, description="r in the adapter's adapter_config.json.")]


class ZipfPopularity(Spec):
    """Share of the adapter at place i is proportional to 1 / i^exponent."""

    kind: Literal["zipf"] = Field(description="zipf, shares or trace.")
    exponent: float = Field(
        ge=0, le=5, description="0 is uniform; tenants of real services lie at 1.0 to 1.8."
    )


class SharesPopularity(Spec):
    """A share (or weight) for each adapter, in order."""

    kind: Literal["shares"]
    shares: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="One weight an adapter; scaled to sum to 1."
    )

    @model_validator(mode="after")
    def _some(self) -> SharesPopularity:
        if not self.shares or sum(self.shares) <= 0:
            raise ValueError("shares need at least one positive weight")
        return self


class TracePopularity(Spec):
    """Adapters are named by the trace (or by the fitted workload) itself."""

    kind: Literal["trace"]


Popularity = Annotated[ZipfPopularity | SharesPopularity | TracePopularity, Field(discriminator="kind")]


class RankShare(Spec):
    """Part of the adapters has this rank."""

    rank: Rank
    share: float = Field(gt=0, le=1, description="Share of the adapters; all shares are scaled to sum to 1.")


class Adapters(Spec):
    """Adapters given by number. `count: 0` asks about the base model alone."""

    count: int = Field(ge=0, le=100_000, description="How many adapters are deployed.")
    rank: Rank | None = Field(None, description="One rank for all; or give `ranks`.")
    ranks: tuple[RankShare, ...] = Field(
        (), description="A mix of ranks, each with its share of the adapters."
    )
    target_modules: tuple[Module, ...] = Field(
        ALL_LINEAR, description="target_modules in adapter_config.json."
    )
    popularity: Popularity = Field(
        default_factory=lambda: ZipfPopularity(kind="zipf", exponent=1.0),
        description="How requests spread over adapters: zipf, shares or trace.",
    )
    base_share: float = Field(
        0.0, ge=0, lt=1, description="Share of requests that go to the plain base model."
    )
    use_dora: bool = Field(
        False, description="use_dora in adapter_config.json; DoRA can only be served merged."
    )
    use_rslora: bool = Field(False, description="use_rslora in adapter_config.json.")
    modules_to_save: bool = Field(False, description="True if adapter_config.json lists modules_to_save.")
    merge_checks: tuple[str, ...] = Field(
        (), description="Files that `calibrate merge-check --json` printed; the worst adapter counts."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Adapters:
        if self.count and (self.rank is None) == (not self.ranks):
            raise ValueError("give either `rank` (one for all) or `ranks` (a mix), not both and not neither")
        if isinstance(self.popularity, SharesPopularity) and len(self.popularity.shares) != self.count:
            raise ValueError(f"shares lists {len(self.popularity.shares)} weights for count {self.count}")
        if len(set(self.target_modules)) != len(self.target_modules) or not self.target_modules:
            raise ValueError("target_modules must name each module once, and at least one")
        return self

    @property
    def max_rank(self) -> int:
        """Largest rank, or 0 without adapters."""
        if not self.count:
            return 0
        return self.rank if self.rank is not None else max(row.rank for row in self.ranks)


class AdapterFolders(Spec):
    """Adapters given as PEFT folders; each adapter_config.json says rank, modules and restrictions."""

    paths: tuple[str, ...] = Field(min_length=1, description="Folders that hold adapter_config.json.")
    popularity: Popularity = Field(
        default_factory=lambda: ZipfPopularity(kind="zipf", exponent=1.0),
        description="How requests spread over adapters: zipf, shares or trace.",
    )
    base_share: float = Field(
        0.0, ge=0, lt=1, description="Share of requests that go to the plain base model."
    )
    merge_checks: tuple[str, ...] = Field(
        (), description="Files that `calibrate merge-check --json` printed; the worst adapter counts."
    )
