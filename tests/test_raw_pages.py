"""Pages asked for over a bare websocket, by whoever knows the protocol: of a server that just started, and without any
other page, so that Streamlit runs the file in pages/ by itself and not app.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from filled_worklist import new_study
from logged_in import ROLES, SECRET, claims, cookie, write_secrets
from raw_page import run_page, websocket
from served import free_port, running_app
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cxr.settings import ROOT, settings
from cxr.worklist.database import database

PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))
XSRF = "2|00000000|0123456789abcdef0123456789abcdef|1700000000"
PRIVATE = ("PATIENT4711", "ACC0815", "doejane")
"""As they are, also in Markdown."""
BEHIND = (*PRIVATE, "AUROC", "trained on", "Fine-tuning")
"""What stands on the pages, or above them, and not on the login page."""


def _fill(folder: Path) -> int:
    """A worklist of one study; returns its number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_WORKLIST_DIR", str(folder))
        settings.cache_clear()
        patient, accession, name = PRIVATE
        with database().writing() as session:
            study = new_study(b"film", patient=patient, accession=accession, name=name)
            session.add(study)
            session.flush()
            number = study.id
    settings.cache_clear()
    return number


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Address of an app with a login, and the number of a study in its worklist."""
    place, port = tmp_path_factory.mktemp("guarded"), free_port()
    address = f"http://127.0.0.1:{port}"
    number = _fill(place / "worklist")
    secrets = write_secrets(place / "secrets.toml", address)
    with running_app(place, port, options=["--secrets.files", str(secrets)], **ROLES):
        yield address, number


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app as it ships."""
    place, port = tmp_path_factory.mktemp("local"), free_port()
    with running_app(place, port, CXR_RUNS_DIR=str(place / "runs")):
        yield f"http://127.0.0.1:{port}"


def as_person(subject: str, address: str, secret: str = SECRET, **more: object) -> dict[str, str]:
    return {"_streamlit_xsrf": XSRF, "_streamlit_user": cookie(claims(subject, **more), address, secret)}


# These come first: the first session of a server is the one in which Streamlit runs a page without app.py, and for as
# long as app.py did not run, each is. The last one, "", is app.py's.
@pytest.mark.parametrize("page", [*PAGES, ""])
def test_without_a_login_no_page_sends_anything_of_itself(page: str, guarded: tuple[str, int]):
    address, number = guarded
    with websocket(address) as stream:
        came = run_page(stream, page, f"study={number}&reader=ruth")
    assert "Log in" in came.text
    assert "not a medical device" in came.text
    assert not [word for word in BEHIND if word in came.text]
    assert set(came.kinds) <= {"markdown", "heading", "button", "space", "html"}


@pytest.mark.parametrize(
    "forged",
    [
        {"subject": "administrator", "secret": "another secret, as long as the real"},
        {"subject": "administrator", "age": 13 * 3600.0},
        {"subject": "nobody"},
    ],
    ids=["tampered", "expired", "no role"],
)
def test_a_cookie_that_does_not_count_opens_nothing(forged: dict[str, object], guarded: tuple[str, int]):
    address, number = guarded
    for page in ("worklist", "admin"):
        with websocket(address, as_person(address=address, **forged)) as stream:  # type: ignore[arg-type]
            came = run_page(stream, page, f"study={number}")
        assert "Log in" in came.text or "Log out" in came.text
        assert not [word for word in PRIVATE if word in came.text]
        assert set(came.kinds) <= {"markdown", "heading", "button", "space", "html", "alert", "text"}


def test_roles_hold_over_the_bare_websocket(guarded: tuple[str, int]):
    address, number = guarded
    with websocket(address, as_person("viewer", address)) as stream:
        came = run_page(stream, "worklist", f"study={number}")
    assert "This page is for readers" in came.text
    assert not [word for word in PRIVATE if word in came.text]
    with websocket(address, as_person("reader", address)) as stream:
        assert "PATIENT4711" in run_page(stream, "", f"study={number}").text
    with websocket(address, as_person("reader", address)) as stream:
        assert "This page is for administrators" in run_page(stream, "admin").text


def test_a_session_cant_be_taken_over_by_its_number(guarded: tuple[str, int]):
    address, number = guarded
    with websocket(address, as_person("reader", address)) as stream:
        first = run_page(stream, "", f"study={number}").session
        for cookies in ({}, as_person("viewer", address)):
            with websocket(address, cookies, session=first) as other:
                came = run_page(other, "", f"study={number}")
            assert came.session != first
            assert not [word for word in PRIVATE if word in came.text]


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.test"}, {"origin": "http://evil.test", "host": "evil.test"}]
)
def test_another_sites_page_gets_no_websocket(headers: dict[str, str], guarded: tuple[str, int], local: str):
    for address, cookies in ((guarded[0], as_person("administrator", guarded[0])), (local, {})):
        with pytest.raises(InvalidStatus) as refused:
            websocket(address, cookies, **headers)
        assert refused.value.response.status_code == 403


def test_a_websocket_ends_with_its_login(guarded: tuple[str, int]):
    address, _ = guarded
    # Of twelve hours two seconds are left.
    with (
        websocket(address, as_person("viewer", address, age=12 * 3600 - 2.0)) as stream,
        pytest.raises(ConnectionClosed) as closed,
    ):
        while True:
            stream.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_on_ones_own_machine_admin_runs_whole_where_it_is_asked_for_first(local: str):
    with websocket(local) as stream:
        came = run_page(stream, "admin")
    assert "There are no jobs yet" in came.text
    assert came.text.count("not a medical device") == 1
    assert "administrator of this machine" in came.text
