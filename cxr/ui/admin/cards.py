"""The cards of bundles, read and checked once each."""

import streamlit as st

from cxr.model.bundle import CARD_FILE, BundleRejected, bundle_path, file_sha256, load_bundle
from cxr.model.card import Card


@st.cache_data(max_entries=200, show_spinner=False)
def _card(name: str, card_sha256: str) -> Card:
    # `card_sha256` is for the cache's key.
    return load_bundle(bundle_path(name)).card


def card_of(name: str) -> Card:
    """The card of a bundle. Raises `BundleRejected` if it can't be used."""
    try:
        return _card(name, file_sha256(bundle_path(name) / CARD_FILE))
    except OSError as error:
        raise BundleRejected(f"The model {name} is being replaced; look again in a moment.") from error
