"""Uploads are written nowhere."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from streamlit.testing.v1 import AppTest

from cxr.settings import ROOT


def test_upload_of_two_megabytes_stays_in_memory(monkeypatch):
    monkeypatch.setattr(MultiPartParser, "spool_max_size", 1024 * 1024)
    AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    body = (
        b"--b\r\nContent-Disposition: form-data; name=f; filename=a.dcm\r\n\r\n" + bytes(2_000_000) + b"\r\n--b--\r\n"
    )
    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
    }

    async def parsed() -> bool:
        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        form = await Request(scope, receive).form()
        return form["f"].file._rolled

    # In a thread of its own: the browser tests leave an event loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, parsed()).result() is False
