"""Rebuild every shipped profile: `python -m benchmarks.build_profiles`.

Reads the installed package aiconfigurator-core and the public measurements in the folder named by
LORA_ADVISOR_DATA. Writes calibration/importers/carried.json, data/profiles/ and data/profiles/servers/.
A file keeps its date while nothing else in it changes, so a second run writes the same bytes.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np

from advisor import __version__
from advisor.catalog.hardware import device as catalog_device
from advisor.catalog.shapes import model as catalog_model
from advisor.errors import AdvisorError, InputError
from advisor.files import write_text
from advisor.profile import (
    FrontendTerm,
    HostTerm,
    LoadTerm,
    MemoryTerm,
    Profile,
    Residual,
    StartupTerm,
    load_profile,
    save_profile,
)
from advisor.spec.spec import Origin
from calibration.importers import carried
from calibration.importers.aiconfigurator import CAPTURED, DEVICES, import_profile
from calibration.importers.model_terms import Operators
from calibration.importers.public_fits import (
    busy_shares,
    fit_host,
    left_over_s,
    predicted,
    read_points,
    read_ticks,
)
from calibration.importers.server_profile import SOURCE, ServerFits, fit_servers, server_profile
from calibration.importers.tables import find_tables

ROOT = Path(__file__).resolve().parent.parent
PROFILES = ROOT / "data" / "profiles"
SYSTEMS = ("a100_sxm", "b200_sxm", "h100_sxm", "h200_sxm", "l40s", "rtx_pro_6000_server")
PRODUCER = f"lora-advisor {__version__}"

_EAGLE3_DRAFTS_S = 2.135e-3 / 3
"""One of three EAGLE-3 drafts of Llama-3.1-8B on an H100 (facts.md 4.1, arXiv 2601.11580)."""
_EAGLE3_PER_SEQUENCE_S = 0.84e-6 / 3


@click.command(help=__doc__)
@click.option("--created", type=click.DateTime(["%Y-%m-%d"]), default=None, help="Date of changed files.")
def main(created: datetime | None) -> None:
    """Build all, printing one line a file."""
    try:
        build((created or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC))
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def build(created: datetime) -> None:
    """Fit, import, write. Raises InputError if data or package are missing."""
    folder = _data_folder() / "e2e"
    servers = fit_servers(folder)
    write_text(Path(carried.__file__).with_name("carried.json"), _carried_json(servers, folder))
    carried.carried.cache_clear()
    for ending, fits in servers.items():
        _write(server_profile(ending, fits, created=created, producer=PRODUCER), PROFILES / "servers")
    for system in SYSTEMS:
        profile = import_profile(system, "vllm", created=created, producer=PRODUCER)
        _write(profile.model_copy(update={"residual": residual(profile, system, folder)}), PROFILES)


def residual(profile: Profile, system: str, folder: Path) -> Residual | None:
    """Hold a profile against published steps of a real engine; None where there are none."""
    if system == "rtx_pro_6000_server":
        terms = next(t for t in profile.models if t.model.name == "Llama-3.1-8B" and t.tensor_parallel == 1)
        errors = np.asarray(busy_shares(profile, terms, read_ticks(folder))) - 1.0
        source = "seconds of a saturated vLLM 0.19.0 run, Llama-3.1-8B (LLMServingSim @ 5daddb21a545)"
    else:
        found = [(predicted(profile, point), point) for point in read_points(folder, system=system)]
        pairs = [(steady.tpot_s, point.tpot_s) for steady, point in found if steady is not None]
        if not pairs:
            return None
        errors = np.asarray([ours / theirs - 1.0 for ours, theirs in pairs])
        versions = sorted({point.version for steady, point in found if steady is not None})
        source = f"TPOT of closed loops, 64 requests at most, vLLM {', '.join(versions)} (aiconfigurator @ 095f58a51c4c)"
    return Residual(
        points=len(errors),
        median_relative=_digits(float(np.median(errors))),
        p90_absolute_relative=_digits(float(np.quantile(np.abs(errors), 0.9))),
        source=source,
    )


def _carried_json(servers: dict[str, ServerFits], folder: Path) -> str:
    """Fit what no table holds and write it as carried.json."""
    lora, llama = servers["llama-3.1-8b"].lora, servers["llama-3.1-8b"]
    h100 = device_profile("h100_sxm", (("Qwen3-32B", 2), ("Qwen3-32B", 4), ("Qwen3-32B", 8), ("Llama-3.1-8B", 1)))
    host = fit_host(h100, read_points(folder, system="h100_sxm"))
    pro = device_profile("rtx_pro_6000_server", (("Llama-3.1-8B", 1),))
    epsilon = max(left_over_s(pro, pro.models[0], read_ticks(folder)), 0.0)
    eight = h100.models[-1]
    layer = (eight.dense.y_s[0] + eight.attn_decode.fixed_s[0]) / eight.model.layers
    head = eight.head.y_s[0] * 32_000 / eight.model.vocab_size
    known = carried.Carried(
        schema_version=1,
        groups=carried.Groups(
            per_adapter_s=_digits(lora.per_adapter_s),
            per_slot_s=_digits(lora.per_slot_s),
            per_slot_token_s=_digits(lora.per_slot_token_s),
            per_slot_prompt_token_s=_digits(lora.per_slot_prompt_token_s),
            source=f"{SOURCE}, vLLM 0.8.5.dev, Llama-3.1-8B on an H100 64 GB",
        ),
        host=HostTerm(
            origin=Origin.EXTRAPOLATED,
            source="beyond the device terms: vLLM 0.12, Qwen3-32B on H100 at degrees 2, 4, 8 (aiconfigurator @ 095f58a51c4c); "
            "epsilon: vLLM 0.19 on an RTX PRO 6000 (LLMServingSim @ 5daddb21a545)",
            licence="Apache-2.0, MIT",
            interval=(0.5, 2.0),
            fixed_s=_digits(host.values["fixed"]),
            per_sequence_s=_digits(host.values["sequence"]),
            overlapped=True,
            epsilon_s=_digits(epsilon),
        ),
        frontend=FrontendTerm(
            origin=Origin.EXTRAPOLATED,
            source=f"{SOURCE}: first token of single short requests, vLLM 0.8.5.dev",
            licence="Apache-2.0",
            interval=(0.4, 1.5),
            fixed_s=_digits(float(np.mean([fits.frontend for fits in servers.values()]))),
        ),
        disk_to_cpu=LoadTerm(
            hop="disk_to_cpu",
            origin=Origin.EXTRAPOLATED,
            source=f"{SOURCE}: single loads of Llama-3.1-8B; Qwen2.5-7B's took an eighth, cold files up to 0.5 s",
            licence="Apache-2.0",
            interval=(0.15, 2.5),
            fixed_s=_digits(llama.disk.fixed_s),
            bandwidth_bytes_per_s=_digits(llama.disk.bandwidth_bytes_per_s),
        ),
        cpu_to_slot_s=_digits(llama.slot.fixed_s),
        cpu_to_slot_source=f"{SOURCE}: single loads of Llama-3.1-8B, flat in rank; Qwen2.5-7B's took half",
        memory=MemoryTerm(
            origin=Origin.EXTRAPOLATED,
            source=f"{SOURCE}: KV capacity of Llama-3.1-8B, vLLM 0.8.5.dev; slots as computed, newer engines have no "
            "buffers for added words",
            licence="Apache-2.0",
            interval=(0.4, 1.4),
            overhead_bytes=_digits(0.9 * 64 * 2.0**30 - llama.memory.usable_minus_overhead_bytes),
            slot_factor=1.0,
        ),
        startup=StartupTerm(
            origin=Origin.EXTRAPOLATED,
            source=f"Llama-3.1-8B on L40S, vLLM, cached: 64 s besides 18 s of weights (tensorfuse, 2025); slots: {SOURCE}",
            licence="Apache-2.0",
            interval=(0.3, 3.0),
            base_s=64.0,
            per_slot_s=_digits(llama.startup[1]),
            weights_bandwidth_bytes_per_s=_digits(16.06e9 / 18.0),
        ),
        eagle3=carried.Eagle3(
            overhead_s=_digits(max(_EAGLE3_DRAFTS_S - layer - head, 0.0)),
            per_sequence_s=_digits(_EAGLE3_PER_SEQUENCE_S),
            source="arXiv 2601.11580 (SpecDecode-Bench): 2.135 ms + 0.84 µs a token for three drafts, Llama-3.1-8B, one H100",
        ),
    )
    return known.model_dump_json(indent=1) + "\n"


def device_profile(system: str, models: tuple[tuple[str, int], ...]) -> Profile:
    """A profile of device terms alone: no host, no loads, no LoRA. For fits of what lies beyond the device."""
    device = catalog_device(DEVICES[system])
    operators = Operators(find_tables(system, "vllm"), device, CAPTURED[-1])
    nothing = {"origin": Origin.ESTIMATED, "source": "left out on purpose"}
    return Profile(
        schema_version=1,
        name=f"{system}-device",
        method="import",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        producer=PRODUCER,
        device=device,
        engine="vllm",
        engine_version=operators.tables.engine_version,
        graph_sizes=CAPTURED,
        models=tuple(operators.terms(catalog_model(name), degree) for name, degree in models),
        host=HostTerm(**nothing, fixed_s=0.0),
        frontend=FrontendTerm(**nothing),
        loads=(
            LoadTerm(**nothing, hop="disk_to_cpu", fixed_s=0.0, bandwidth_bytes_per_s=1e9),
            LoadTerm(**nothing, hop="cpu_to_slot", fixed_s=0.0, bandwidth_bytes_per_s=1e9),
        ),
        memory=MemoryTerm(**nothing, overhead_bytes=0.0),
        startup=StartupTerm(**nothing, base_s=0.0),
    )


def _write(profile: Profile, folder: Path) -> None:
    """Write a profile; keep the old date if nothing else changed."""
    path = folder / f"{profile.name}.json"
    if path.exists():
        old = load_profile(path)
        if old.model_copy(update={"created": profile.created}) == profile:
            profile = old
    save_profile(profile, path)
    found = "none" if profile.residual is None else f"{profile.residual.median_relative:+.1%}"
    click.echo(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB, {len(profile.models)} models, residual {found}")


def _data_folder() -> Path:
    folder = os.environ.get("LORA_ADVISOR_DATA")
    if not folder or not Path(folder).is_dir():
        raise InputError("LORA_ADVISOR_DATA names no folder; allowed: the folder of public traces and measurements.")
    return Path(folder)


def _digits(value: float) -> float:
    return float(f"{value:.5g}")


if __name__ == "__main__":
    main()
