"""Whatever a file holds, a reader returns or says its sentence: never another error, never a traceback.

Good contents, spoiled: bytes changed, cut out or doubled; where a form lets it also values replaced at any
depth. `LORA_ADVISOR_FUZZ=5000 pytest tests/fuzz` tries that many of each; 25 else.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from tests.fuzz.forms import FORMS
from tests.fuzz.models import MODELS, good_models
from tests.fuzz.spoil import spoiled_bytes, spoiled_value
from tests.fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("LORA_ADVISOR_FUZZ", "25"))
SLOW = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_contents_that_are_spoiled_were_good(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    for content in target.good():
        assert target.outcome(content, tmp_path) == ""
    for value in target.values():
        assert target.outcome(FORMS[target.form].write(value), tmp_path) == ""


@pytest.mark.parametrize("name", TARGETS)
@SLOW
@given(data=st.data())
def test_spoiled_bytes(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    good = data.draw(st.sampled_from(target.good()))
    target.outcome(data.draw(spoiled_bytes(good)), tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.form != "bytes"])
@SLOW
@given(data=st.data())
def test_spoiled_values(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    value = data.draw(spoiled_value(data.draw(st.sampled_from(target.values()))))
    target.outcome(FORMS[target.form].write(value), tmp_path_factory.getbasetemp())


def test_each_model_of_the_spec_has_a_content() -> None:
    assert {name for content in good_models() for name in FORMS["json"].parse(content)} == set(MODELS)
