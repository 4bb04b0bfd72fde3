"""A page of the app over its bare websocket, as whoever is no browser would ask for it."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.text_format import MessageToString
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect


@dataclass(frozen=True)
class Came:
    """What a page sent.

    Attributes:
        text: all messages as text, to be searched.
        kinds: of the elements, in their order.
        session: id of the session.
    """

    text: str
    kinds: tuple[str, ...]
    session: str


def websocket(
    address: str, cookies: Mapping[str, str] = {}, *, session: str = "", origin: str = "", host: str = ""
) -> ClientConnection:
    """Streamlit's websocket of an app, opened.

    Args:
        address: of the app, such as "http://127.0.0.1:8501".
        cookies: to be sent; the one of Streamlit's XSRF protection is shown as it wants it.
        session: id of one that is to be gone on with.
        origin: what a browser would say of whose page asks; "": the app's own.
        host: name under which the app is asked; "": its own.
    """
    name, port = address.split("://")[1].split(":")
    protocols: Any = ["streamlit", cookies.get("_streamlit_xsrf", "none"), *([session] if session else [])]
    return connect(
        f"ws://{host or f'{name}:{port}'}/_stcore/stream",
        sock=socket.create_connection((name, int(port)), timeout=20),
        origin=cast(Any, origin or address),
        subprotocols=protocols,
        additional_headers={"Cookie": "; ".join(f"{key}={value}" for key, value in cookies.items())} if cookies else {},
        max_size=None,
        proxy=None,
    )


def run_page(stream: ClientConnection, page: str, query: str = "") -> Came:
    """Have a page run in the websocket's session, by its path; returns what came until it stood."""
    ask = BackMsg()
    ask.rerun_script.page_name = page
    ask.rerun_script.query_string = query
    stream.send(ask.SerializeToString())
    texts, kinds, session = [], [], ""
    while True:
        data = stream.recv(timeout=60)
        assert isinstance(data, bytes)
        came = ForwardMsg.FromString(data)
        texts.append(MessageToString(came, as_utf8=True))
        if came.WhichOneof("type") == "new_session":
            session = came.new_session.initialize.session_id
        if came.WhichOneof("type") == "delta" and came.delta.WhichOneof("type") == "new_element":
            kinds.append(str(came.delta.new_element.WhichOneof("type")))
        if came.WhichOneof("type") == "script_finished":
            return Came("\n".join(texts), tuple(kinds), session)
