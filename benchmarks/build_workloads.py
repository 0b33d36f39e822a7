"""Rebuild data/workloads/ from the public traces: python benchmarks/build_workloads.py [PUBLIC_DATA].

The folder is the one named by LORA_ADVISOR_DATA, or ../shared/data. Only statistics are written, no request.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from advisor import __version__
from advisor.spec.workload import QuantileLength
from advisor.trace.fit import fit_workload
from advisor.trace.fitted import ArrivalModel, Client, FittedModel, LengthModel, save_fitted
from advisor.trace.readers import load_trace

ROOT: Final = Path(__file__).resolve().parent.parent
COMMAND: Final = "python benchmarks/build_workloads.py"
AZURE: Final = {
    "source": "Azure/AzurePublicDataset @ b469a113cedc, AzureLLMInferenceTrace_{}.csv, 16 Nov 2023",
    "licence": "CC BY 4.0",
    "attribution": "Microsoft Azure; Patel et al., Splitwise, ISCA 2024. Changed: fitted, statistics only.",
}
TRACES: Final = {
    "azure_conv_2023": (
        "azure_llm_2023_conv.csv.gz",
        {
            **AZURE,
            "source": AZURE["source"].format("conv"),
            "title": "A chat service, one hour, 5.5 requests/s",
        },
    ),
    "azure_code_2023": (
        "azure_llm_2023_code.csv.gz",
        {
            **AZURE,
            "source": AZURE["source"].format("code"),
            "title": "A coding service, one hour, very bursty",
        },
    ),
    "mooncake_conversation": (
        "mooncake_fast25_conversation.jsonl.gz",
        {
            "title": "A chat service with long prompts and shared prefixes, one hour",
            "source": "kvcache-ai/Mooncake @ 3b5a59413395, FAST25-release, conversation_trace.jsonl",
            "licence": "Apache-2.0",
            "attribution": "Qin et al., Mooncake, FAST 2025. Changed: fitted, only statistics are kept.",
        },
    ),
}
TENANTS: Final = {
    "servegen_m_large_tenants": ("m-large", "162 tenants of a large language model, 14 days"),
    "servegen_m_small_tenants": ("m-small", "43 tenants of a small language model, 14 days"),
}
SERVEGEN: Final = {
    "source": "alibaba/ServeGen @ f891d1189eb3, language category, per client and 10-minute window, 14 days",
    "licence": "Apache-2.0",
    "attribution": "Xiang et al., ServeGen. Changed: windows averaged over 4 hours, statistics only.",
}
WINDOW_S: Final = 600.0
DRIFT_WINDOW_S: Final = 4 * 3600.0
QUANTILES: Final = {f"p{percent}": percent / 100 for percent in (1, 5, 10, 25, 50, 75, 90, 95, 99)}


def fit_trace(name: str, folder: Path, created: datetime) -> FittedModel:
    """Fit one public trace."""
    file, facts = TRACES[name]
    fitted = fit_workload(load_trace(folder / file), name=name, created=created)
    return fitted.model_copy(update={**facts, "command": COMMAND})


def fit_tenants(name: str, folder: Path, created: datetime) -> FittedModel:
    """Average the windows of one ServeGen model into clients with share, burstiness, drift and lengths."""
    model, title = TENANTS[name]
    rates, bursts = _windows(folder / f"servegen_{model}_client_rates.csv.gz")
    tables = _lengths(folder / "servegen_client_lengths.csv.gz", model)
    total = sum(float(rate.sum()) for rate in rates.values())
    order = sorted(rates, key=lambda client: (-float(rates[client].sum()), client))
    clients = tuple(_client(one, rates[one], bursts[one], total, tables.get(one, {})) for one in order)
    everyone = np.sum(list(rates.values()), axis=0)
    return FittedModel(
        schema_version=1,
        name=name,
        title=title,
        source=SERVEGEN["source"],
        licence=SERVEGEN["licence"],
        attribution=SERVEGEN["attribution"],
        command=COMMAND,
        created=created,
        producer=f"lora-advisor {__version__}",
        arrivals=ArrivalModel(
            rate_rps=round(total / len(everyone), 6),
            duration_s=len(everyone) * WINDOW_S,
            window_s=DRIFT_WINDOW_S,
            profile=(1.0,),
        ),
        lengths=LengthModel(
            prompt_tokens=_pooled(clients, "prompt_tokens"), output_tokens=_pooled(clients, "output_tokens")
        ),
        clients=clients,
        client_window_s=DRIFT_WINDOW_S,
        notes=(
            f"{sum(client.prompt_tokens is None for client in clients)} clients lack lengths in the source",
            "they, the largest among them, take the share-weighted lengths of the others",
            "prompt and output lengths are independent: the source has only their marginals",
            "gap_cv is the rate-weighted mean over 10-minute windows; drift between windows is not in it",
        ),
    )


def _windows(path: Path) -> tuple[dict[int, np.ndarray], dict[int, float]]:
    """Rate of each client in each window (requests/s), and its rate-weighted mean gap cv."""
    rows: dict[int, list[tuple[int, float, float]]] = defaultdict(list)
    with gzip.open(path, "rt") as stream:
        for row in csv.DictReader(stream):
            place = int(float(row["t_s"]) // WINDOW_S)
            rows[int(row["client_id"])].append((place, float(row["rate_rps"]), float(row["cv"] or "nan")))
    windows = 1 + max(place for found in rows.values() for place, _, _ in found)
    rates, bursts = {}, {}
    for client, found in rows.items():
        rates[client] = np.zeros(windows)
        for place, rate, _ in found:
            rates[client][place] = rate
        known = [(rate, cv) for _, rate, cv in found if np.isfinite(cv) and cv > 0]
        weight = sum(rate for rate, _ in known)
        bursts[client] = sum(rate * cv for rate, cv in known) / weight if weight else 1.0
    return rates, bursts


def _client(
    number: int, rate: np.ndarray, burst: float, total: float, tables: dict[str, QuantileLength]
) -> Client:
    per_drift = int(DRIFT_WINDOW_S / WINDOW_S)
    drift = rate[: len(rate) // per_drift * per_drift].reshape(-1, per_drift).mean(axis=1)
    return Client(
        name=f"client-{number}",
        share=round(float(rate.sum()) / total, 9),
        gap_cv=round(min(burst, 20.0), 3),
        profile=tuple(np.round(drift / rate.mean(), 3).tolist()),
        prompt_tokens=tables.get("input_tokens"),
        output_tokens=tables.get("output_tokens"),
    )


def _lengths(path: Path, model: str) -> dict[int, dict[str, QuantileLength]]:
    tables: dict[int, dict[str, QuantileLength]] = defaultdict(dict)
    with gzip.open(path, "rt") as stream:
        for row in csv.DictReader(stream):
            if row["model"] == model:
                known = [float(row[name]) for name in QUANTILES]
                tables[int(row["client_id"])][row["kind"]] = _table(known, float(row["mean"]))
    return tables


def _table(known: list[float], mean: float) -> QuantileLength:
    """From p1 to p99 as given; below level; above a line to the length that makes the mean come out."""
    probabilities = [0.0, *QUANTILES.values(), 1.0]
    tokens = [known[0], *known, known[-1]]
    inside = float(np.trapezoid(tokens, probabilities))
    tokens[-1] = round(max(known[-1], known[-1] + 2 * (mean - inside) / (1 - QUANTILES["p99"])), 1)
    return QuantileLength(kind="quantiles", probabilities=tuple(probabilities), tokens=tuple(tokens))


def _pooled(clients: tuple[Client, ...], column: str) -> QuantileLength:
    """Quantiles of the share-weighted mixture of the clients whose lengths are known."""
    middle = (np.arange(1000) + 0.5) / 1000
    known = [(client.share, getattr(client, column)) for client in clients if getattr(client, column)]
    values = np.concatenate([np.interp(middle, law.probabilities, law.tokens) for _, law in known])
    weights = np.repeat([share for share, _ in known], len(middle))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    probabilities = tuple(np.round(np.linspace(0, 1, 101), 2).tolist())
    tokens = values[order][np.minimum(np.searchsorted(reached, probabilities), len(values) - 1)]
    return QuantileLength(
        kind="quantiles", probabilities=probabilities, tokens=tuple(np.round(tokens, 1).tolist())
    )


def build(folder: Path, created: datetime) -> dict[str, FittedModel]:
    """All shipped workloads by name."""
    traces = {name: fit_trace(name, folder, created) for name in TRACES}
    return {**traces, **{name: fit_tenants(name, folder, created) for name in TENANTS}}


def main() -> None:
    given = (
        sys.argv[1]
        if len(sys.argv) > 1
        else os.environ.get("LORA_ADVISOR_DATA", str(ROOT.parent / "shared" / "data"))
    )
    for name, model in build(Path(given) / "traces", datetime.now(UTC).replace(microsecond=0)).items():
        path = ROOT / "data" / "workloads" / f"{name}.json"
        save_fitted(model, path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes, {len(model.clients)} clients")


if __name__ == "__main__":
    main()
