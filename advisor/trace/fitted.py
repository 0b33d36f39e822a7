"""A fitted workload: the statistics of a trace, and no request of it. Version 1 of the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from advisor.datafiles import data_dir
from advisor.errors import InputError, validated
from advisor.files import read_json, write_text
from advisor.spec.spec import Spec
from advisor.spec.workload import QuantileLength
from advisor.trace.describe import Description

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Level(Spec):
    """One level of the cascade: each window of the level above is split into `parts` windows.

    Their shares of it are Dirichlet(concentration), so that their relative variance is
    (parts - 1) / (parts · concentration + 1).
    """

    parts: int = Field(ge=2, le=100_000)
    concentration: float | None = Field(gt=0, description="None: even shares.")


class ArrivalModel(Spec):
    """Poisson arrivals whose rate follows a profile, split further by a cascade of random shares."""

    rate_rps: Positive
    duration_s: Positive
    window_s: Positive = Field(description="Length of a window of the profile.")
    profile: tuple[NonNegative, ...] = Field(
        min_length=1, description="Rate of each window over the mean rate."
    )
    levels: tuple[Level, ...] = ()
    tick_s: NonNegative = Field(0.0, description="Arrivals are multiples of this; 0: no grid.")


class LengthModel(Spec):
    """Marginal distributions and the dependence between them.

    `cells[i][j]` is the weight of the i-th of G equal parts of the prompts together with the j-th of G
    equal parts of the outputs, by rank. Empty: independent.
    """

    prompt_tokens: QuantileLength
    output_tokens: QuantileLength
    cells: tuple[tuple[NonNegative, ...], ...] = ()

    @model_validator(mode="after")
    def _square(self) -> LengthModel:
        if any(len(row) != len(self.cells) for row in self.cells):
            raise ValueError("cells must have as many columns as rows")
        if self.cells and sum(map(sum, self.cells)) <= 0:
            raise ValueError("cells need at least one positive weight")
        return self


class Client(Spec):
    """One adapter of the trace, or one tenant: how much, how bursty, how long."""

    name: str = Field(min_length=1)
    share: Share = Field(description="Of all requests that name a client.")
    gap_cv: float = Field(1.0, gt=0, le=20, description="Of the gaps, with the profile's drift taken out.")
    profile: tuple[NonNegative, ...] = Field(
        (), description="Rate of each window over the client's mean; empty: even."
    )
    prompt_tokens: QuantileLength | None = Field(None, description="None: as the whole trace.")
    output_tokens: QuantileLength | None = Field(None, description="None: as the whole trace.")


class DepthModel(Spec):
    """Requests with at most `max_blocks` whole prompt blocks: how much of them an earlier request had."""

    max_blocks: int | None = Field(ge=0, description="None: no upper bound.")
    fresh_share: Share = Field(description="Requests that share nothing.")
    depth_shares: tuple[Share, ...] = Field(
        description="Quantiles at even steps from 0 to 1 of shared blocks over blocks, of those that share."
    )


class AgeModel(Spec):
    """Requests that share at most `max_share` of their blocks: how long ago a request had them, seconds."""

    max_share: Share
    age_s: tuple[NonNegative, ...] = Field(description="Quantiles at even steps from 0 to 1.")


class ReuseModel(Spec):
    """Prefix sharing: a request copies the start of an earlier one, as deep and as old as the trace does."""

    block_tokens: int = Field(ge=1, le=10_000_000)
    depths: tuple[DepthModel, ...] = Field(min_length=1)
    ages: tuple[AgeModel, ...] = Field(min_length=1)


class FittedModel(Spec):
    """Everything that `generate_fitted` needs, with where it came from."""

    schema_version: Literal[1]
    name: str = Field(min_length=1)
    title: str = ""
    source: str = Field(min_length=1, description="The trace that was fitted, with version.")
    licence: str = ""
    attribution: str = ""
    command: str = ""
    created: AwareDatetime
    producer: str = Field(min_length=1, description="Program and version that wrote the file.")
    arrivals: ArrivalModel
    lengths: LengthModel
    base_share: Share = Field(0.0, description="Requests that name no client, where some do.")
    clients: tuple[Client, ...] = Field((), description="By falling share.")
    client_window_s: Positive | None = Field(None, description="Length of a window of the clients' profiles.")
    reuse: ReuseModel | None = None
    measured: Description | None = Field(None, description="Figures of the trace itself, to check against.")
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _clients_fit(self) -> FittedModel:
        names = [client.name for client in self.clients]
        if len(set(names)) < len(names):
            raise ValueError("clients must have different names")
        if names and sum(client.share for client in self.clients) <= 0:
            raise ValueError("clients need at least one positive share")
        if self.client_window_s is None and any(client.profile for client in self.clients):
            raise ValueError("client_window_s is needed where clients have profiles")
        return self


def workload_names() -> tuple[str, ...]:
    """Names of the shipped fitted workloads."""
    return tuple(sorted(path.stem for path in (data_dir() / "workloads").glob("*.json")))


def load_fitted(name: str, folder: Path | None = None) -> FittedModel:
    """Read a fitted workload by its shipped name, or from a path (relative to `folder`).

    Raises:
        InputError: no such name or file, or a file that is not a fitted workload.
    """
    if name in workload_names():
        path = data_dir() / "workloads" / f"{name}.json"
    else:
        path = (folder or Path()) / Path(name).expanduser()
        if not path.exists() and path.suffix != ".json":
            raise InputError(_unknown(name))
    raw = read_json(path, schema_version=1)
    return validated(FittedModel, raw, str(path))


def save_fitted(model: FittedModel, path: str | Path) -> None:
    """Write a fitted workload, whole or not at all; one line a field, one a client."""
    write_text(path, fitted_text(model))


def fitted_text(model: FittedModel) -> str:
    """The file's content."""
    raw = json.loads(model.model_dump_json(exclude_defaults=True))
    return _lines(raw) + "\n"


def _lines(raw: dict[str, Any]) -> str:
    fields = []
    for key, value in raw.items():
        if key == "clients":
            rows = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in value)
            fields.append(f' "clients": [\n  {rows}\n ]')
        else:
            fields.append(
                f" {json.dumps(key)}: {json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"
            )
    return "{\n" + ",\n".join(fields) + "\n}"


def _unknown(name: str) -> str:
    import difflib

    known = workload_names()
    near = difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"workload.name is {name!r:.80}; allowed: {', '.join(known)}, or a path that ends in .json.{hint}"
