"""Published points of closed loops: concurrency, lengths, and the TTFT and TPOT that came out.

Source: ai-dynamo/aiconfigurator @ 095f58a51c4c, silicon_sample.csv (Apache-2.0): NVIDIA's own runs, and
InferenceX's (SemiAnalysis), whose dumps are named by a date.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from advisor.profile import ModelTerms, Profile
from calibration.importers.csvrows import csv_rows

POINTS = "measured_ttft_tpot_agg.csv.gz"
DENSE = ("Llama-3.1-8B", "Llama-3.1-70B", "Qwen3-32B")
"""Models of the file that are no mixtures of experts."""

_OVERLOAD_S = 5.0
"""A mean time to the first token above this means requests that waited for memory or seats."""
_COLUMNS = (
    *("backend", "backend_version", "dump", "model_path", "system", "precision", "isl", "osl"),
    *("silicon_concurrency", "tp_size", "silicon_ttft_ms", "silicon_tpot_ms"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """One published closed-loop point."""

    engine: str
    model: str
    precision: str
    system: str
    version: str
    dump: str
    tensor_parallel: int
    concurrency: int
    prompt_tokens: int
    output_tokens: int
    tpot_s: float
    ttft_s: float

    @property
    def overloaded(self) -> bool:
        """Requests waited for memory or seats."""
        return self.ttft_s > _OVERLOAD_S

    @property
    def is_inferencex(self) -> bool:
        """Of InferenceX, whose client and servers are published scripts."""
        return self.dump[:2] == "20"


def all_points(folder: Path) -> list[Point]:
    """Every point of a dense model that says its concurrency, but those with 4-bit weights, in file order."""
    points = []
    for row in csv_rows(folder / POINTS, _COLUMNS):
        if not any(name in row["model_path"] for name in DENSE) or row["precision"] == "fp4":
            continue
        if not row["silicon_concurrency"]:
            continue
        points.append(
            Point(
                engine=row["backend"],
                model=row["model_path"].rpartition("/")[2].removesuffix("-FP8").removesuffix("-Instruct"),
                precision=row["precision"] or "bfloat16",
                system=row["system"],
                version=row["backend_version"] or "of autumn 2025",
                dump=row["dump"],
                tensor_parallel=row.whole("tp_size"),
                concurrency=row.whole("silicon_concurrency"),
                prompt_tokens=row.whole("isl"),
                output_tokens=row.whole("osl"),
                tpot_s=1e-3 * row.number("silicon_tpot_ms"),
                ttft_s=1e-3 * row.number("silicon_ttft_ms"),
            )
        )
    return points


def read_points(folder: Path, *, system: str, largest_concurrency: int = 64) -> list[Point]:
    """Points of vLLM on one GPU kind, Llama-3.1-70B and Qwen3-32B, without overload: for fits.

    Llama-3.1-8B in fp8 is left out: concurrency, prompts and times of its points imply 118,000 prompt tokens
    a second on one H200, more than its peak rate allows, so prompts were cached.
    """
    return [
        point
        for point in all_points(folder)
        if point.engine == "vllm"
        and point.system == system
        and point.model != "Llama-3.1-8B"
        and not point.overloaded
        and point.concurrency <= largest_concurrency
    ]


def terms_of(profile: Profile, point: Point) -> ModelTerms | None:
    """The profile's row of a point's model, weights and degree; Llama-3.3-70B has the shape of 3.1."""
    name = point.model.replace("Llama-3.1-70B", "Llama-3.3-70B")
    wanted = (name, point.precision, point.tensor_parallel)
    for terms in profile.models:
        model = terms.model
        if (model.name.removesuffix("-FP8"), model.weights_dtype.value, terms.tensor_parallel) == wanted:
            return terms
    return None
