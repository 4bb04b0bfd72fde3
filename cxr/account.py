"""Who runs this program, as the machine knows them."""

import getpass


def account(otherwise: str = "somebody at the command line") -> str:
    """Name of the account; `otherwise` where it has none, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return otherwise
