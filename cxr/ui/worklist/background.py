"""The app works for the worklist from its start on."""

from cxr.worklist.background import work
from cxr.worklist.database import DatabaseUnavailable


def keep_working() -> None:
    """Begin to score films and to watch the inbox, once a process."""
    try:
        work()
    except (DatabaseUnavailable, OSError):
        # The other pages need none of it; the Worklist says what is wrong, and the next run tries again.
        return
