"""Widgets and words that several pages share. The only part of `cxr` that knows Streamlit."""
