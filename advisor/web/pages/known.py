"""The page with what is known beforehand: profiles and dated prices."""

from __future__ import annotations

import streamlit as st

from advisor.catalog.hardware import devices
from advisor.catalog.prices import device_prices
from advisor.profile import find_datasheets, find_profiles, load_profile
from advisor.tables import known
from advisor.web import show


def page() -> None:
    """Profiles and prices as tables."""
    st.title("What is known")
    st.subheader("Device profiles")
    every = (*find_profiles().values(), *find_datasheets().values())
    show.table(known.profiles([load_profile(path) for path in every]))
    st.subheader("Prices")
    show.table(known.prices([price for device in devices() for price in device_prices(device)]))
