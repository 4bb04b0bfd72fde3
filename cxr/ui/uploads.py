"""Uploaded films are written nowhere, not even while they arrive, and kept by Streamlit no longer than needed."""

from collections.abc import Iterable

import streamlit as st
from starlette.formparsers import MultiPartParser
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile


def keep_uploads_in_memory() -> None:
    """Have the web server hold every upload in memory; by itself it spools those over 1 MB to a temporary file."""
    MultiPartParser.spool_max_size = 1024 * 1024 * (int(st.get_option("server.maxUploadSize")) + 1)


def let_go(uploads: Iterable[UploadedFile]) -> None:
    """Have Streamlit forget uploads that were taken over; by itself it keeps each until its session ends."""
    context = get_script_run_ctx()
    if context is None or not isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        return
    for upload in uploads:
        context.uploaded_file_mgr.remove_file(context.session_id, upload.file_id)
