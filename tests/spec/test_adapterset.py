from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError, validated
from advisor.spec.adapter import AdapterFolders, Adapters
from advisor.spec.adapterset import AdapterSet, resolve_adapters

HERE = Path()


def by_number(**raw: Any) -> AdapterSet:
    return resolve_adapters(validated(Adapters, raw, "raw"), HERE)


def write_adapter(folder: Path, **changes: Any) -> None:
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], **changes}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_adapters_by_number() -> None:
    adapters = by_number(count=12, rank=16, use_dora=True, target_modules=["v_proj", "q_proj"])
    assert adapters.names[0] == "adapter-01"
    assert adapters.names[-1] == "adapter-12"
    assert adapters.ranks == (16,) * 12
    assert adapters.target_modules == ("q_proj", "v_proj")
    assert adapters.use_dora
    assert not adapters.use_rslora


def test_no_adapters_at_all() -> None:
    adapters = by_number(count=0)
    assert len(adapters) == 0
    assert adapters.max_rank == 0


def test_zipf_shares_fall_as_the_law_says() -> None:
    shares = by_number(count=3, rank=8, popularity={"kind": "zipf", "exponent": 1.0}).shares
    assert shares == pytest.approx((6 / 11, 3 / 11, 2 / 11))


def test_given_shares_are_scaled_even_if_huge() -> None:
    shares = by_number(count=2, rank=8, popularity={"kind": "shares", "shares": [0.5e308, 1.5e308]}).shares
    assert shares == pytest.approx((0.25, 0.75))


def test_the_trace_may_name_the_adapters() -> None:
    assert by_number(count=2, rank=8, popularity={"kind": "trace"}).shares is None


@given(
    st.integers(0, 300),
    st.lists(
        st.tuples(st.integers(1, 512), st.floats(0.01, 1.0)), min_size=1, max_size=4, unique_by=lambda r: r[0]
    ),
)
def test_every_beginning_of_the_list_holds_the_ranks_in_their_shares(
    count: int, mix: list[tuple[int, float]]
) -> None:
    ranks = by_number(count=count, ranks=[{"rank": rank, "share": share} for rank, share in mix]).ranks
    assert len(ranks) == count
    total = math.fsum(share for _, share in mix)
    for place in range(1, count + 1):
        seen = Counter(ranks[:place])
        for rank, share in mix:
            assert abs(seen[rank] - place * share / total) < len(mix)


def test_popular_and_unpopular_adapters_get_both_ranks() -> None:
    ranks = by_number(count=8, ranks=[{"rank": 8, "share": 0.5}, {"rank": 64, "share": 0.5}]).ranks
    assert ranks == (8, 64, 8, 64, 8, 64, 8, 64)


def test_folders_are_read_relative_to_the_scenario(tmp_path: Path) -> None:
    write_adapter(tmp_path / "a" / "legal", r=16, base_model_name_or_path="llama")
    write_adapter(tmp_path / "a" / "medical", use_rslora=True, target_modules=["down_proj"])
    (tmp_path / "a" / "legal" / "adapter_model.safetensors").write_bytes(b"12345")
    spec = validated(AdapterFolders, {"paths": ["a/legal", "a/medical"], "base_share": 0.5}, "raw")
    adapters = resolve_adapters(spec, tmp_path)
    assert adapters.names == ("legal", "medical")
    assert adapters.ranks == (16, 8)
    assert adapters.target_modules == ("q_proj", "down_proj")
    assert adapters.traits == {"rslora"}
    assert adapters.file_bytes == (5, None)
    assert adapters.base_models == {"llama"}
    assert adapters.base_share == 0.5
    assert adapters.shares == pytest.approx((2 / 3, 1 / 3))


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    write_adapter(tmp_path / "x" / "legal")
    write_adapter(tmp_path / "y" / "legal")
    spec = validated(AdapterFolders, {"paths": ["x/legal", "y/legal"]}, "raw")
    with pytest.raises(InputError, match="x/legal and y/legal are both named legal"):
        resolve_adapters(spec, tmp_path)


def test_shares_must_fit_the_folders(tmp_path: Path) -> None:
    write_adapter(tmp_path / "legal")
    raw = {"paths": ["legal"], "popularity": {"kind": "shares", "shares": [1, 2]}}
    with pytest.raises(InputError, match="lists 2 weights; allowed: one for each of the 1 paths"):
        resolve_adapters(validated(AdapterFolders, raw, "raw"), tmp_path)


@pytest.mark.parametrize("path", ["x" * 5000, "null\0character", "~nobody-of-this-name/adapter", "absent"])
def test_a_path_that_leads_nowhere_is_one_sentence(tmp_path: Path, path: str) -> None:
    spec = validated(AdapterFolders, {"paths": [path]}, "raw")
    with pytest.raises(InputError) as caught:
        resolve_adapters(spec, tmp_path)
    assert len(caught.value.sentences) == 1
