"""The app driven without a browser, and what it says."""

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from cxr.settings import ROOT

KINDS = ("title", "header", "subheader", "markdown", "caption", "error", "warning", "info")


def opened(page: str) -> AppTest:
    """A page of the app, opened by its address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    return app.switch_page(f"pages/{page}.py").run()


def words(app: AppTest) -> str:
    """All running text, without the escapes of Markdown."""
    return " ".join(element.value for kind in KINDS for element in app.get(kind)).replace("\\", "")


def charts(app: AppTest) -> list[dict]:
    """The figures in Plotly's JSON."""
    return [json.loads(chart.spec) for chart in app.get("plotly_chart")]


def titles(app: AppTest) -> list[str]:
    """What the figures are called."""
    return [chart["layout"]["title"]["text"] for chart in charts(app)]


def component(app: AppTest, name: str) -> dict[str, Any]:
    """What a component of the page was given."""
    found = next(element.proto for element in app.get("bidi_component") if element.proto.component_name.endswith(name))
    return json.loads(found.json)
