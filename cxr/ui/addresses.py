"""Network addresses: which reach this machine only, and what a proxy adds."""

from ipaddress import ip_address
from typing import Final

FORWARDED: Final = frozenset(
    ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
)
"""Headers that a proxy adds: behind it, the loopback address says nothing of who is asking."""


def only_this_machine(address: str) -> bool:
    """Whether an address (a name or a number; "": all) is this machine's own."""
    if address.lower() == "localhost":
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
