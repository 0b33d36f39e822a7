"""The page with what is known beforehand: profiles and dated prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import streamlit as st

from advisor.catalog.hardware import devices
from advisor.catalog.prices import device_prices
from advisor.profile import find_datasheets, find_profiles, load_profile
from advisor.tables import known
from advisor.web import show

_PREDICTED: Final = (
    "Predicted from the datasheet and the share of theirs that measured GPUs reach. Figures that rest on "
    "them say so, and no answer takes such a GPU unless the scenario names it under devices."
)


def page() -> None:
    """Profiles and prices as tables."""
    st.title("What is known")
    st.subheader("Device profiles")
    show.table(known.profiles([load_profile(path) for path in find_profiles().values()]))
    st.subheader("GPUs that nobody measured")
    predicted = known.profiles([load_profile(path) for path in find_datasheets().values()])
    show.table(replace(predicted, name="datasheets", caption=_PREDICTED))
    st.subheader("Prices")
    show.table(known.prices([price for device in devices() for price in device_prices(device)]))
