"""Uploaded films are written nowhere, not even while they arrive."""

import streamlit as st
from starlette.formparsers import MultiPartParser


def keep_uploads_in_memory() -> None:
    """Have the web server hold every upload in memory; by itself it spools those over 1 MB to a temporary file."""
    MultiPartParser.spool_max_size = 1024 * 1024 * (int(st.get_option("server.maxUploadSize")) + 1)
