"""Downloads that are made when they are asked for, and are there until the browser has fetched them."""

import threading
from collections.abc import Callable

from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx


def lasting(make: Callable[[], str | bytes], file_name: str, mime: str) -> Callable[[], bytes]:
    """What a download button is given to make its file with.

    Streamlit makes the file and tells the browser where it lies, but deletes it when two pages of anybody have been run
    since: in a busy app that can be before the browser comes to fetch it. This keeps it for the session that asked,
    until the session's own page is run the next time.

    Args:
        make: makes the file.
        file_name, mime: as the button has them.
    """
    context = get_script_run_ctx()

    def made() -> bytes:
        content = make()
        data = content.encode() if isinstance(content, str) else content

        def keep() -> None:
            get_instance().media_file_mgr.add(
                data, mime, f"download/{file_name}", file_name=file_name, is_for_static_download=True
            )

        if context is not None:
            # The file is of the session whose context the thread has; this one here has none.
            keeper = threading.Thread(target=keep, name="download")
            add_script_run_ctx(keeper, context)
            keeper.start()
            keeper.join()
        return data

    return made
