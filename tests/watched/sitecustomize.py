"""For a Python with this folder in PYTHONPATH: it writes down whom it would speak with on another machine.

Python loads a module of this name at its start, in child processes too. Each attempt to look a name up, to connect or
to send is a line of the file that CXR_TEST_ATTEMPTS names; those on this machine are none.
"""

import ipaddress
import os
import sys
import traceback


def _here(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if text in ("localhost", os.uname().nodename):
        return True
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _watch(event: str, args: tuple) -> None:  # type: ignore[type-arg]
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        # Addresses that are no pair are of this machine's own kind: Unix sockets, netlink.
        host = address[0] if isinstance(address, tuple) and len(address) > 1 else None
        if host is None or isinstance(host, int) or _here(host):
            return
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request"):
        host = args[0] if event != "urllib.Request" else args[0].split("/")[2].rsplit(":", 1)[0]
        if _here(host):
            return
    else:
        return
    with open(os.environ["CXR_TEST_ATTEMPTS"], "a") as file:  # noqa: PTH123 - pathlib may not be there yet
        print(event, host, traceback.format_stack(limit=6), file=file)


if "CXR_TEST_ATTEMPTS" in os.environ:
    sys.addaudithook(_watch)
