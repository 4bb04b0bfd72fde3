"""Pages that are opened before app.py was."""

import ast

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from cxr.settings import ROOT

FIRST = {"worklist": "person = enter_as_reader()", "admin": "person = enter_as_administrator()"}
"""Pages that are not for everybody who may use the app."""


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "pages").glob("*.py")))
def test_page_that_is_opened_first_comes_through_the_front_door(page, monkeypatch):
    # A fresh server takes `pages` for an app of Streamlit's first kind, and runs a page of it by itself.
    monkeypatch.setattr(PagesManager, "uses_pages_directory", True)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.switch_page(f"pages/{page}").run()
    assert not app.exception
    assert sum("not a medical device" in element.value for element in app.markdown) == 1


def test_every_page_begins_with_who_may_enter():
    for path in (ROOT / "pages").glob("*.py"):
        body = ast.parse(path.read_text()).body
        first = next(node for node in body[1:] if not isinstance(node, ast.Import | ast.ImportFrom))
        assert ast.unparse(first) == FIRST.get(path.stem, "enter()"), path.name
