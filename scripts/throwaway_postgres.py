"""A PostgreSQL server for tests and benchmarks, from Debian's package: in a folder of its own, gone with its process."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import URL

LIBRARY = Path("/usr/lib/postgresql")
USER = "cxr"
# What is lost in a power cut does not matter here.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "32MB", "jit": "off"}


def programs() -> Path | None:
    """The folder of the server's programs; None where they are not installed."""
    found = sorted(LIBRARY.glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running_server(programs: Path, options: Mapping[str, str]) -> Iterator[URL]:
    """Start a server on a socket in a new folder; gives the URL of its maintenance database.

    Args:
        programs: see there.
        options: of the server, such as `FAST`.
    """
    # The path of a socket may have about a hundred characters, fewer than the folders of tests.
    folder = Path(tempfile.mkdtemp(prefix="cxr-pg-"))
    # It refuses to run as root; and it ends with the process that started it, however that ends.
    run = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        run += ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    make = ["initdb", "-D", data, "-U", USER, "--auth", "trust", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8"]
    try:
        # What is run is from the folder of Debian's package.
        subprocess.run([*run, programs / make[0], *make[1:]], check=True, capture_output=True, cwd=folder)  # noqa: S603
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [*run, programs / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", *settings]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)  # noqa: S603
        try:
            url = URL.create("postgresql+psycopg", USER, database="postgres", query={"host": str(folder)})
            _wait(url, server, folder / "log")
            yield url
        finally:
            # At once, without waiting for connections.
            server.send_signal(signal.SIGQUIT)
            server.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: URL, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            statement(url, "SELECT 1")
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from None
            time.sleep(0.05)


def statement(url: URL, sql: str) -> None:
    """Run one statement outside any transaction."""
    with psycopg.connect(
        host=str(url.query["host"]), user=url.username, dbname=url.database, autocommit=True
    ) as connection:
        connection.execute(sql)  # type: ignore[call-overload]
