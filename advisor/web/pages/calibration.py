"""The page about profiles: those on hand, where their terms come from, one of this machine, and drift."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

from advisor.errors import AdvisorError
from advisor.fitted import DriftCheck, Fitted
from advisor.profile import Profile, find_profiles, load_profile
from advisor.tables import held as tables
from advisor.tables import known
from advisor.web import child, show, state, watch
from advisor.web.parts import measured

_RUN: Final = "calibration"
_SHOW: Final = "fitted"
_DRIFT: Final = "drift"
DRIFTED: Final = 4
"""Exit code of `calibrate check` where the profile no longer holds; it prints the same rows."""
_BUDGETS: Final = {"20 s: a first look": "20s", "60 s": "60s", "5 min: steadier": "5min"}


def page() -> None:
    """Profiles as tables and charts; calibrate and check from here, with progress and a stop."""
    st.title("Calibration", anchor=False)
    st.markdown(
        "A profile says how long steps, loads and starts take on one device with one engine. The advice "
        "rests on it."
    )
    own = measured.own_profiles()
    choices = {**own, **find_profiles()}
    one, this, check = st.tabs(["A profile", "Measure this machine", "All profiles"])
    with one:
        _one(choices, own)
    with this:
        _measure()
    with check:
        show.table(known.profiles([profile for path in choices.values() if (profile := _read(path))]))


def _read(path: Path) -> Profile | None:
    """A profile; None with its sentence shown where it is broken."""
    try:
        return _cached(str(path), path.stat().st_mtime_ns)
    except (AdvisorError, OSError) as error:
        said = state.sentences_of(error) if isinstance(error, AdvisorError) else (f"{path.name}: is gone.",)
        for sentence in said:
            st.error(show.plain(sentence))
        return None


@st.cache_data(max_entries=64, show_spinner=False)
def _cached(path: str, _changed_ns: int) -> Profile:
    return load_profile(path)


def _one(choices: dict[str, Path], own: dict[str, Path]) -> None:
    from advisor.report.calibration import origins

    wanted = st.session_state.pop("profile wanted", None)
    if wanted in choices:
        st.session_state["profile shown"] = wanted
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    names = list(choices)
    first = next((i for i, name in enumerate(names) if name in own or name == "h100_sxm-vllm"), 0)
    name = left.selectbox("Profile", names, index=first, key="profile shown")
    with right.popover("Open a profile", width="stretch"):
        upload = st.file_uploader("Profile (JSON)", type=["json"], key="profile file")
        if upload is not None and st.session_state.get("profile taken") != upload.file_id:
            st.session_state["profile taken"] = upload.file_id
            _take(upload)
    path = choices[name]
    profile = _read(path)
    if profile is None:
        return
    st.download_button(
        "This profile (JSON)", path.read_bytes, path.name, "application/json", key=f"profile-{name}",
        on_click="ignore", type="tertiary", icon=":material/download:",
    )  # fmt: skip
    if path.with_suffix(".samples.jsonl").exists():
        _against_samples(path)
    show.section(origins(profile))


def _take(upload: object) -> None:
    try:
        st.session_state["profile wanted"] = measured.uploaded_profile(upload)
    except AdvisorError as error:
        for sentence in state.sentences_of(error):
            st.error(show.plain(sentence))
        return
    st.rerun()


def _against_samples(path: Path) -> None:
    """What was measured beside what is fitted, and whether it still holds: for profiles measured here."""
    from advisor.report.calibration import measured as against

    _drift(path)
    key = str(path)
    if st.session_state.get("fitted", (None, None))[0] == key:
        show.section(against(st.session_state["fitted"][1]))
        return

    def keep(output: str) -> None:
        st.session_state["fitted"] = (key, Fitted.model_validate_json(output))

    if st.session_state.get("fitted asked") != key:
        st.session_state["fitted asked"] = key
        watch.begin(_SHOW, child.begin(["show", key, "--json"], path.parent, "reading the samples"))
    watch.show_progress(_SHOW, keep)


def _drift(path: Path) -> None:
    key = str(path)

    def keep(output: str) -> None:
        st.session_state["drift"] = (key, DriftCheck.model_validate_json(output))

    if watch.show_progress(_DRIFT, keep):
        return
    known_ = st.session_state.get("drift")
    if known_ is not None and known_[0] == key:
        table = tables.drift(known_[1])
        holds = all(row.holds for row in known_[1].rows)
        (st.success if holds else st.warning)(
            "The profile still holds."
            if holds
            else "It no longer holds. Calibrate again, on an idle machine."
        )
        show.table(table)
    if st.button(
        "Does it still hold?", key="check drift", help="Measures a few points again, some ten seconds."
    ):
        arguments = ["check", key, "--model", "tiny", "--json"]
        work = child.begin(arguments, path.parent, "measuring a few points again", told_at=(DRIFTED,))
        watch.begin(_DRIFT, work)
        st.rerun()


def _measure() -> None:
    """Calibrate the live engine with the shipped tiny model on the machine that the app runs on."""
    lacking = child.needs()
    if lacking:
        st.info(show.plain(lacking))
        return
    st.markdown(
        "Times the live engine's kernels and steps with the shipped tiny model, on the machine where this "
        "app runs, and fits a profile to them. Other work on the machine gets into the figures."
    )

    def keep(_output: str) -> None:
        path: Path = st.session_state["profile asked"]
        measured.keep_profile(path)
        st.session_state["profile wanted"] = path.stem
        st.session_state["profile done"] = path.stem

    if watch.show_progress(_RUN, keep):
        return
    done = st.session_state.get("profile done")
    if done is not None:
        st.success(show.plain(f"{done} is measured. It stands under A profile."))
    budget = st.selectbox("How long to measure", list(_BUDGETS), key="calibration budget")
    if st.button("Calibrate", key="calibrate", type="primary"):
        try:
            out = measured.new_name("here", ".json")
        except AdvisorError as error:
            watch.fail(_RUN, error)
        else:
            st.session_state["profile asked"] = out
            arguments = ["run", "--model", "tiny", "--budget", _BUDGETS[budget], "--out", str(out)]
            watch.begin(_RUN, child.begin(arguments, out.parent, "starting the live engine"))
        st.rerun()
