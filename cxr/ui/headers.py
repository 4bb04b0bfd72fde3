"""What every answer tells the browser about what it may do with this app's pages."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

from streamlit import file_util


def _written_in(page: str) -> str:
    """Sources for `script-src` that allow the scripts whose text stands in a page, and no others."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)


POLICY: Final = {
    "default-src": "'none'",
    # Streamlit loads the scripts of its second kind of components, such as the film viewer's, from blobs.
    "script-src": f"'self' blob: {_written_in((Path(file_util.get_static_dir()) / 'index.html').read_text('utf-8'))}",
    # Streamlit writes its styles into the page.
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "media-src": "'self' blob:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "frame-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
"""Content Security Policy, https://www.w3.org/TR/CSP3/: nothing comes from, and nothing goes to, another server."""

CLOSED: Final = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "geolocation",
    "gyroscope", "hid", "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "serial", "usb",
    "xr-spatial-tracking",
)  # fmt: skip
"""What of the machine no page asks for."""

HEADERS: Final = {
    "content-security-policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": ", ".join(f"{name}=()" for name in CLOSED),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer."""

TLS_HEADERS: Final = {"strict-transport-security": "max-age=31536000"}
"""Where people reach the app over TLS."""
