"""Pages without a browser run without what the app does in the background."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_background(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No film is scored and no inbox watched in the process of the tests, unless a test does it."""
    monkeypatch.setattr("cxr.ui.worklist.background.work", lambda: None)
    yield
