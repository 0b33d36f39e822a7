from __future__ import annotations

import csv
from pathlib import Path

import pytest

from advisor.catalog.capabilities import engine
from advisor.catalog.hardware import device, devices
from advisor.errors import InputError


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("H100", "H100-80-SXM"),
        ("h100 80 sxm", "H100-80-SXM"),
        ("NVIDIA H100 80GB HBM3", "H100-80-SXM"),
        ("a100", "A100-80-SXM"),
        ("rtx4090", "RTX 4090"),
        ("RTX PRO 6000", "RTX PRO 6000 Server"),
    ],
)
def test_one_device_has_many_names(given: str, name: str) -> None:
    assert device(given).name == name


def test_an_unknown_device_comes_with_the_nearest_name() -> None:
    with pytest.raises(
        InputError, match=r"device 'H100-80-SXN' is not in the catalog; did you mean H100-80-SXM"
    ):
        device("H100-80-SXN")


def test_names_and_aliases_are_one_to_one() -> None:
    assert [device(one.name).name for one in devices()] == [one.name for one in devices()]


@pytest.mark.data
def test_rates_agree_with_the_public_table(shared_data: Path) -> None:
    with (shared_data / "facts" / "devices.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            known = device(row["name"])
            assert known.bandwidth_bytes_per_s == float(row["memory_bandwidth_gb_s"]) * 1e9
            assert known.bf16_flops_per_s == float(row["bf16_dense_tflops"]) * 1e12
            assert (known.fp8_flops_per_s is None) == (not row["fp8_dense_tflops"])
            assert 0.88 < known.memory_bytes / (float(row["memory_gb"]) * 2**30) <= 1.03


@pytest.mark.parametrize(
    ("name", "limits"),
    [  # vLLM 0.33: at least 160 GiB; at least 70 GiB and no A100; the others
        ("B200", (1024, 16384)),
        ("H100", (1024, 8192)),
        ("H200", (1024, 8192)),
        ("RTX PRO 6000", (1024, 8192)),
        ("A100", (256, 2048)),
        ("A100-40", (256, 2048)),
        ("L40S", (256, 2048)),
    ],
)
def test_defaults_of_vllm_depend_on_the_memory(name: str, limits: tuple[int, int]) -> None:
    assert engine("vllm").default_limits(device(name)) == limits


@pytest.mark.parametrize(("rank", "padded"), [(1, 1), (2, 8), (16, 16), (17, 32), (321, 512), (513, None)])
def test_vllm_pads_to_the_next_allowed_rank(rank: int, padded: int | None) -> None:
    assert engine("vllm").max_lora_rank(rank) == padded
    assert engine("sglang").max_lora_rank(rank) == rank


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("vlm", None, "engine 'vlm' is not in the catalog; did you mean vllm?"),
        ("vllm", "0.1", r"engine.version '0.1' of vllm is not in the catalog; known: 0.33.0"),
    ],
)
def test_unknown_engines(name: str, version: str | None, said: str) -> None:
    with pytest.raises(InputError) as caught:
        engine(name, version)
    assert said in str(caught.value)
