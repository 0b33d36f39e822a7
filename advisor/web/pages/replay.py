"""The page that holds predictions against measurements: results that are at hand, or a replay from here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import streamlit as st

from advisor.errors import AdvisorError, InputError
from advisor.held import Held, held_of
from advisor.profile import find_profiles
from advisor.report.section import Section
from advisor.web import child, show, watch
from advisor.web.parts import measured

_RUN: Final = "replay"
_COMPARE: Final = "compare"
BUDGETS: Final = {"90 s: a first look": "90s", "3 min: less noise": "3min", "10 min": "10min"}


def page() -> None:
    """Predicted beside measured, from files or measured here, with progress and a stop."""
    st.title("Replay", anchor=False)
    st.markdown("What the simulator predicts beside what an engine really did, figure by figure.")
    here, files = st.tabs(["Replay on this machine", "Open a result"])
    with here:
        _replay()
    with files:
        _open()
    found: Section | None = st.session_state.get("held shown")
    if found is not None:
        show.section(found)


def _show(section: Section) -> None:
    st.session_state["held shown"] = section


def _held(rows: tuple[Held, ...], source: str) -> Section:
    from advisor.report.replay import held

    if not rows:
        raise InputError(f"{source}: tells no figure that was measured; allowed: at least one.")
    return held(rows)


def _replay() -> None:
    lacking = child.needs()
    if lacking:
        st.info(show.plain(lacking))
        return
    st.markdown(
        "Calibrates the live engine with the shipped tiny model, predicts two scenarios (the base at middle "
        "load; 8 adapters), replays them twice, compares. Other work on the machine gets into the figures."
    )

    def keep(output: str) -> None:
        _show(_held(held_of(json.loads(output), "the validation"), "the validation"))

    if watch.show_progress(_RUN, keep):
        return
    budget = st.selectbox("How long in all", list(BUDGETS), key="replay budget")
    if st.button("Calibrate, predict, replay", key="replay", type="primary"):
        st.session_state.pop("held shown", None)
        try:
            out = measured.new_name("validation", "")
        except AdvisorError as error:
            watch.fail(_RUN, error)
        else:
            arguments = ["validate", "--scenarios", "quick", "--budget", BUDGETS[budget], "--out", str(out)]
            watch.begin(_RUN, child.begin([*arguments, "--json"], out.parent, "starting the live engine"))
        st.rerun()


def _open() -> None:
    st.markdown(
        "A validation's report.json, a result of `calibrate replay` (Parquet), what "
        "`calibrate compare --json` printed, or a result of vllm bench serve, SGLang's bench_serving, "
        "guidellm or aiperf (JSON)."
    )
    upload = st.file_uploader("Result file", type=["json", "jsonl", "parquet"], key="result file")
    profile = st.selectbox(
        "Predict a load generator's run with",
        list(find_profiles()),
        index=list(find_profiles()).index("h100_sxm-vllm"),
        key="compare profile",
    )

    def keep(output: str) -> None:
        _show(_held(held_of(json.loads(output), "the comparison"), "the comparison"))

    if watch.show_progress(_COMPARE, keep) or upload is None:
        return
    wanted = (upload.file_id, profile)
    if st.session_state.get("result taken") == wanted:
        return
    st.session_state["result taken"] = wanted
    st.session_state.pop("held shown", None)
    try:
        _take(upload, profile)
    except AdvisorError as error:
        watch.fail(_COMPARE, error)
    st.rerun()


def _take(upload: Any, profile: str) -> None:
    """Show an upload, or begin to predict it.

    Raises:
        InputError: it is nothing that can be shown.
    """
    if Path(upload.name).suffix.lower() == ".parquet":
        from advisor.replayed import load_replay
        from advisor.report.replay import replayed

        path = measured.uploaded(upload, "replay")
        try:
            _show(replayed(load_replay(path)))
        finally:
            path.unlink(missing_ok=True)
        return
    if Path(upload.name).suffix.lower() == ".json":
        raw = measured.uploaded_json(upload)
        if {"cases", "runs"} & set(raw) and "schema_version" in raw:
            _show(_held(held_of(raw, "upload"), "upload"))
            return
    lacking = child.needs()
    if "calibration" in lacking:
        raise InputError(lacking)
    path = measured.uploaded(upload, "result")
    arguments = ["compare", str(path), "--profile", profile, "--json"]
    watch.begin(_COMPARE, child.begin(arguments, path.parent, "predicting the same run"))
