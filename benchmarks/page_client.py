"""A reader without a browser: one session of the app over its websocket, as Streamlit's own page speaks with it.

Streamlit's messages are protobuf: `BackMsg` to the app (run the page, with what its widgets hold), `ForwardMsg` back
(elements with their place in the page, and the end of each run). Files go by HTTP to an address that the session asked
for; downloads are made when they are asked for. The classes are those that Streamlit itself ships.
"""

import contextlib
import http.client
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

PATIENCE: Final = 300.0
"""Seconds without an answer after which the app counts as hung."""
WORDS: Final = ("markdown", "alert", "heading", "text", "toast")


class PageError(AssertionError):
    """The app did what no page may do: an exception in it, a refused request, no answer."""


@dataclass(frozen=True)
class Upload:
    """A file to be dropped: its name and its bytes."""

    name: str
    data: bytes


class PageClient:
    """One browser tab; use it as a context.

    Args:
        address: of the app, such as "http://127.0.0.1:8501".
        page: the path of the page, such as "read_film"; "": the first one.

    Attributes:
        elements: what stands in the page, by its place.
        progress: called with the text of each progress bar that comes.
    """

    def __init__(self, address: str, page: str = "", progress: Callable[[str], object] = lambda text: None):
        parts = urlsplit(address)
        self._host, self._page = parts.netloc, page
        self.progress = progress
        self.elements: dict[tuple[int, ...], Element] = {}
        self.session = ""
        self._script = ""
        self._cookie = ""
        self._seen_now: set[tuple[int, ...]] = set()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # The server gives the cookie that uploads have to show.
        _, headers = self._request("GET", "/_stcore/health")
        self._cookie = next((value.split(";")[0] for name, value in headers if name.lower() == "set-cookie"), "")
        token = self._cookie.partition("=")[2]
        protocols: Any = ["streamlit", token or "placeholder"]
        more = {"Cookie": self._cookie} if self._cookie else {}
        stream = f"ws://{self._host}/_stcore/stream"
        origin: Any = f"http://{self._host}"
        self._socket = self._stack.enter_context(
            connect(stream, subprotocols=protocols, additional_headers=more, origin=origin, max_size=None, proxy=None)
        )
        self.run()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, *states: WidgetState, wait: bool = True) -> None:
        """Run the page, with what some widgets hold now; returns when it stands."""
        message = BackMsg()
        message.rerun_script.page_script_hash = self._script
        if not self._script:
            message.rerun_script.page_name = self._page
        message.rerun_script.widget_states.widgets.extend(states)
        self._socket.send(message.SerializeToString())
        if wait:
            self.until_still()

    def press(self, label: str) -> None:
        """Press a button by its label."""
        button = next(one for one in self.found("button") if one.label == label)
        self.run(WidgetState(id=button.id, trigger_value=True))

    def drop(self, label: str, files: Sequence[Upload], *, wait: bool = True) -> None:
        """Drop files onto the uploader of a label; returns when the page stands again."""
        uploader = next(one for one in self.found("file_uploader") if one.label == label)
        state = WidgetState(id=uploader.id)
        for file, urls in zip(files, self._addresses([file.name for file in files]), strict=True):
            boundary = secrets.token_hex(16)
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n'
            body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + file.data
            body += f"\r\n--{boundary}--\r\n".encode()
            kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            self._request("PUT", urls.upload_url, body, kind)
            state.file_uploader_state_value.uploaded_file_info.add(
                file_id=urls.file_id, name=file.name, size=len(file.data), file_urls=urls
            )
        self.run(state, wait=wait)

    def download(self, label: str) -> bytes:
        """What a download button gives."""
        button = next(one for one in self.found("download_button") if one.label == label)
        url = button.url
        if button.deferred_file_id:
            message = BackMsg()
            message.backend_operation_request.request_id = request = uuid.uuid4().hex
            message.backend_operation_request.session_id = self.session
            message.backend_operation_request.deferred_file.file_id = button.deferred_file_id
            self._socket.send(message.SerializeToString())
            answer = self._until(
                lambda came: (
                    came.WhichOneof("type") == "backend_operation_response"
                    and came.backend_operation_response.request_id == request
                )
            ).backend_operation_response
            if answer.error_msg:
                raise PageError(f"The download failed: {answer.error_msg}")
            url = answer.deferred_file.url
        return self.fetch(url)

    def fetch(self, path: str) -> bytes:
        """What lies at an address of the app."""
        return self._request("GET", path)[0]

    def found(self, kind: str) -> list[Any]:
        """All elements of a kind, in their order in the page."""
        places = sorted(place for place, element in self.elements.items() if element.WhichOneof("type") == kind)
        return [getattr(self.elements[place], kind) for place in places]

    def component(self, name: str) -> dict[str, Any] | None:
        """What a component of the page was given."""
        for one in self.found("bidi_component"):
            if one.component_name.endswith(name):
                return json.loads(one.json)
        return None

    def words(self) -> str:
        """All text of the page, without the escapes of Markdown."""
        return " ".join(one.body for kind in WORDS for one in self.found(kind)).replace("\\", "")

    def until_still(self) -> None:
        """Take in what the app sends until a run of the page has ended and no other follows."""
        self._until(
            lambda came: (
                came.WhichOneof("type") == "script_finished"
                and came.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
            )
        )
        # What the last run did not show again is gone.
        self.elements = {place: element for place, element in self.elements.items() if place in self._seen_now}

    def _until(self, met: Callable[[ForwardMsg], bool]) -> ForwardMsg:
        last = time.monotonic()
        for came in self._coming():
            last = time.monotonic()
            self._take(came)
            if met(came):
                return came
        raise PageError(f"No answer for {time.monotonic() - last:.0f} s.")

    def _coming(self) -> Iterator[ForwardMsg]:
        with contextlib.suppress(TimeoutError):
            while True:
                data = self._socket.recv(timeout=PATIENCE)
                yield ForwardMsg.FromString(bytes(data, "latin-1") if isinstance(data, str) else data)

    def _take(self, came: ForwardMsg) -> None:
        kind = came.WhichOneof("type")
        if kind == "new_session":
            self.session = came.new_session.initialize.session_id
            if not came.metadata.run.fragment_ids:
                self._seen_now = set()
        elif kind == "navigation":
            self._script = came.navigation.page_script_hash
        elif kind == "script_finished" and came.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            raise PageError("The page could not be run.")
        elif kind == "delta":
            self._take_element(tuple(came.metadata.delta_path), came)

    def _take_element(self, place: tuple[int, ...], came: ForwardMsg) -> None:
        if came.delta.WhichOneof("type") != "new_element":
            return
        element = came.delta.new_element
        self._seen_now.add(place)
        self.elements[place] = element
        kind = element.WhichOneof("type")
        if kind == "exception":
            raise PageError(f"An exception in the page: {element.exception.type}")
        if kind == "progress":
            self.progress(element.progress.text)

    def _addresses(self, names: Sequence[str]) -> list[FileURLs]:
        message = BackMsg()
        message.file_urls_request.request_id = request = uuid.uuid4().hex
        message.file_urls_request.session_id = self.session
        message.file_urls_request.file_names.extend(names)
        self._socket.send(message.SerializeToString())
        answer = self._until(
            lambda came: (
                came.WhichOneof("type") == "file_urls_response" and came.file_urls_response.response_id == request
            )
        ).file_urls_response
        if answer.error_msg:
            raise PageError(f"No place for an upload: {answer.error_msg}")
        return list(answer.file_urls)

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[bytes, list[tuple[str, str]]]:
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE)
        try:
            sent = {"Cookie": self._cookie, "X-Xsrftoken": self._cookie.partition("=")[2], "Host": self._host}
            connection.request(method, path, body, (headers or {}) | {name: to for name, to in sent.items() if to})
            answer = connection.getresponse()
            data = answer.read()
            if answer.status >= 300:
                raise PageError(f"{method} {path.split('/')[1]}: {answer.status} {answer.reason}")
            return data, answer.getheaders()
        finally:
            connection.close()
