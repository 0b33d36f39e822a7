"""Which shipped profiles a scenario reads: no more than it may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.catalog.capabilities import engine
from advisor.errors import InputError
from advisor.profile import (
    Profile,
    find_datasheets,
    find_profiles,
    load_profile,
    profile_head,
    shipped_profile,
)
from advisor.search.question import resolve, shipped, shipped_for, with_datasheets
from advisor.spec.scenario import Scenario
from tests.questions import scenario


def _asks(name: str = "vllm", devices: tuple[str, ...] = ()) -> Scenario:
    return scenario(engine={"name": name}, devices=list(devices))


def test_the_first_lines_say_engine_and_device() -> None:
    for path in (*find_profiles().values(), *find_datasheets().values()):
        whole, head = load_profile(path), profile_head(path)
        assert head == (whole.engine, whole.device.name)


def test_another_file_has_no_head(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('{"engine": "vllm"}')
    assert profile_head(path) is None
    path.write_bytes(b"\xff\xfe\x00")
    assert profile_head(path) is None


def test_named_devices_are_read_and_no_others() -> None:
    found = shipped_for(_asks(devices=("H100", "L40S")), engine("vllm"))
    assert [one.name for one in found] == ["h100_sxm-vllm", "l40s-vllm"]
    found = shipped_for(_asks("sglang", devices=("L40S",)), engine("sglang"))
    assert [one.name for one in found] == ["l40s-sglang"]


def test_without_names_every_profile_of_the_engine_is_read() -> None:
    found = shipped_for(_asks(), engine("sglang"))
    assert {one.engine for one in found} == {"sglang"}
    assert len(found) == sum(name.endswith("-sglang") for name in find_profiles())


def test_a_datasheet_is_read_only_for_a_device_that_is_named_and_that_nobody_measured() -> None:
    measured = {load_profile(path).device.name for path in find_profiles().values()}
    predicted = {load_profile(path).device.name for path in find_datasheets().values()}
    assert len(measured | predicted) >= 20
    assert not measured & predicted
    assert all(one.method != "datasheet" for one in shipped_for(_asks(), engine("vllm")))
    found = shipped_for(_asks(devices=("L4", "L40S")), engine("vllm"))
    assert {one.name for one in found} == {"l4-vllm-datasheet", "l40s-vllm"}


def test_a_scenario_without_devices_is_offered_no_datasheet_and_one_that_names_it_is() -> None:
    offered = {offer.profile.device.name for offer in resolve(_asks(), None, Path()).offers}
    assert "L40S" in offered
    assert not offered & {"A10", "A100-40-SXM", "H100-80-PCIe"}  # which have prices
    priced, without = resolve(_asks(devices=("A10", "MI300X")), None, Path()).offers
    assert priced.price is not None
    assert without.price is None


def test_a_study_that_holds_all_measured_ones_gets_the_same_datasheets() -> None:
    held = shipped()
    assert with_datasheets(_asks(), held) == held
    assert with_datasheets(_asks(devices=("L40S",)), held) == held
    more = with_datasheets(_asks(devices=("L4", "H100", "NVIDIA A10")), held)
    assert {one.name for one in more[len(held) :]} == {"l4-vllm-datasheet", "a10-vllm-datasheet"}
    with pytest.raises(InputError, match="did you mean L40S"):
        with_datasheets(_asks(devices=("L40SS",)), held)


def test_what_was_measured_goes_before_a_newer_datasheet() -> None:
    real = shipped_profile("l40s-vllm")
    guess = real.model_copy(
        update={"name": "guess", "method": "datasheet", "created": real.created.replace(year=2099)}
    )
    pair: list[Profile] = [real, guess]
    for profiles in (pair, pair[::-1]):
        (offer,) = resolve(_asks(devices=("L40S",)), profiles, Path()).offers
        assert offer.profile.name == "l40s-vllm"


def test_a_device_without_a_profile_still_says_which_have_one() -> None:
    with pytest.raises(
        InputError,
        match=r"devices is T4; allowed with engine vllm: .*A100-80-SXM.*L40S.*; by datasheet alone, .*: A10,",
    ):
        resolve(_asks(devices=("T4", "L40S")), None, Path())
    with pytest.raises(InputError, match="did you mean L40S"):
        resolve(_asks(devices=("L40SS",)), None, Path())
