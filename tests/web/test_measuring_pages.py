"""Calibration and Replay: profiles, results, a real `calibrate` as a child process, its errors, its end."""

from __future__ import annotations

import importlib.util
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import InputError
from advisor.profile import shipped_profile
from advisor.web import child
from advisor.web.pages import replay
from advisor.web.work import Work
from tests.web.driver import moved, opened, said, until

REPORT = {
    "schema_version": 1,
    "cases": [
        {
            "name": "8 adapters, Zipf",
            "options": [
                {
                    "name": "multi-lora",
                    "predicted": {},
                    "measured": {},
                    "cells": [
                        {"name": "ttft p50", "error": 0.02, "noise": 0.01, "allowed": 0.05},
                        {"name": "tpot p99", "error": 0.5, "noise": 0.02, "allowed": 0.1},
                    ],
                }
            ],
        }
    ],
}


def report() -> dict[str, Any]:
    figures = {
        "ttft_s": {"p50": 0.1},
        "tpot_s": {"p99": 0.02},
        "itl_s": {},
        "e2e_s": {},
        "output_tokens_per_s": 100.0,
        "load_s": 0.0,
        "acceptance_length": 1.0,
    }
    whole: dict[str, Any] = json.loads(json.dumps(REPORT))
    option = whole["cases"][0]["options"][0]
    option["measured"] = figures
    option["predicted"] = figures | {"ttft_s": {"p50": 0.102}, "tpot_s": {"p99": 0.03}}
    return whole


def upload(app: Any, key: str, name: str, content: bytes) -> Any:
    box = next(one for one in app.get("file_uploader") if one.key == key)
    box.set_value((name, content, "application/octet-stream")).run()
    assert not app.exception
    return app


def test_a_shipped_profile_is_shown_term_by_term() -> None:
    app = moved(opened(), "calibration")
    assert "Imported from others' tables and runs" in said(app).replace("\\", "")
    terms = next(frame.value for frame in app.dataframe if "figure is" in frame.value.columns)
    assert {"dense", "lora", "host"} <= set(terms["term"])
    assert {"measured", "estimated"} & set(terms["figure is"])


def test_an_uploaded_profile_is_checked_and_shown(tmp_path: Path) -> None:
    app = moved(opened(), "calibration")
    upload(app, "profile file", "mine.json", b'{"schema_version": 1}')
    assert any("missing" in error.value for error in app.error)
    assert "/tmp" not in "".join(error.value for error in app.error)
    content = shipped_profile("l40s-vllm").model_dump_json().encode()
    app = upload(moved(opened(), "calibration"), "profile file", "../../mine.json", content)
    shown = app.selectbox(key="profile shown").value
    assert shown.startswith("mine-")
    assert "/" not in shown


def test_a_validations_report_says_which_figures_hold() -> None:
    app = upload(moved(opened(), "replay"), "result file", "report.json", json.dumps(report()).encode())
    assert "1 of 2 figures hold." in said(app)
    assert "TPOT p99" in said(app)
    table = next(frame.value for frame in app.dataframe if "holds" in frame.value.columns)
    assert list(table["holds"]) == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", b"\x00\xff", "UTF-8"),
        ("a.json", b'{"schema_version": 1, "cases": 3}', "cases"),
        ("a.parquet", b"no parquet", "is no replay result"),
    ],
)
def test_a_broken_result_is_a_sentence(name: str, content: bytes, sentence: str) -> None:
    app = upload(moved(opened(), "replay"), "result file", name, content)
    assert any(sentence in error.value for error in app.error), [e.value for e in app.error]


def test_a_load_generators_result_is_predicted_by_a_child() -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra 'calibrate')")
    result = {
        "date": "20260901-101010", "endpoint_type": "openai", "backend": "vllm", "label": None,
        "model_id": "meta-llama/Llama-3.1-8B-Instruct", "tokenizer_id": "x", "num_prompts": 4,
        "request_rate": 2.0, "burstiness": 1.0, "max_concurrency": None, "duration": 3.0, "completed": 4,
        "total_input_tokens": 400, "total_output_tokens": 40, "request_throughput": 1.33,
        "output_throughput": 13.3, "total_token_throughput": 146.0, "mean_ttft_ms": 20.0,
        "median_ttft_ms": 19.0, "p99_ttft_ms": 30.0, "mean_tpot_ms": 8.0, "median_tpot_ms": 8.0,
        "p99_tpot_ms": 9.0,
    }  # fmt: skip
    app = upload(moved(opened(), "replay"), "result file", "bench.json", json.dumps(result).encode())
    until(app, lambda a: a.error or "Predicted beside measured" in said(a))
    assert not app.error, [e.value for e in app.error]
    assert "the largest error is" in said(app)


def test_the_childs_sentence_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--budget is 'soon'; allowed"):
        child.run(
            ["run", "--model", "tiny", "--budget", "soon", "--out", str(tmp_path / "a.json")], tmp_path, _told
        )


def _told(_share: float, _what: str) -> None:
    """Stands for a page that looks on."""


def test_a_stopped_child_ends_and_leaves_no_profile(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra 'calibrate')")
    out = tmp_path / "a.json"
    work: Work[str] = child.begin(
        ["run", "--model", "tiny", "--budget", "5min", "--out", str(out)], tmp_path, "starting"
    )
    while work.share == 0.0 and not work.look(0.2):
        pass
    assert work.error is None
    assert work.fault is None
    assert len(child._RUNNING) == 1
    work.stop()
    while not work.look(0.2):
        pass
    assert not child._RUNNING
    assert not out.exists()
    assert work.result is None
    assert threading.active_count() < 50


def test_every_length_of_a_replay_that_is_offered_is_enough(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra 'calibrate')")
    from calibration.commands.terminal import seconds
    from calibration.validate.whole import Asked, within

    for budget in replay.BUDGETS.values():
        asked = within(Asked(tmp_path, scenarios="quick"), seconds(budget, "--budget"))
        assert asked.calibration_budget >= 18.0
        assert asked.duration > 1.0


def test_without_torch_the_pages_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "torch" else found(name, *more)
    )
    for path in ("calibration", "replay"):
        app = moved(opened(), path)
        assert any("pip install" in info.value for info in app.info)
