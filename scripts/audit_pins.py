"""Ask the advisory database of PyPI about every pin of requirements.lock, by pip-audit. `make audit-pins`.

    python -m scripts.audit_pins

Needs the network. Exit status: 0 nothing is known against any pin, 1 something is, 3 not every pin could be asked about
(no network, or a mirror that has no advisories): then nothing is known, which is not the same as nothing against it.
"""

import json
import re
import subprocess
import sys

from cxr.settings import ROOT

LOCK = ROOT / "requirements.lock"


def verdict(pins: int, answer: str) -> tuple[int, str]:
    """What an answer of pip-audit means.

    Args:
        pins: how many pins were asked about.
        answer: its JSON, or nothing where it gave none.

    Returns:
        The exit status, and what to say.
    """
    try:
        found = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return 3, "NOT CHECKED: pip-audit got no answer from the advisory database. Is there a network?"
    known = [one for one in found if one.get("vulns")]
    if known:
        lines = [f"{one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}" for one in known]
        return 1, "Known vulnerabilities:\n" + "\n".join(lines)
    skipped = [one["name"] for one in found if "skip_reason" in one]
    if skipped or len(found) < pins:
        return 3, f"NOT CHECKED: of {pins} pins {len(found) - len(skipped)} could be asked about."
    return 0, f"Nothing is known against any of {pins} pins."


def main() -> int:
    """Ask, and say what came of it."""
    # Pins for other versions of Python than this one are left out by pip-audit; it asks about each name once.
    pins = len(
        {match[0].lower() for line in LOCK.read_text().splitlines() if (match := re.match(r"[\w.-]+(?===)", line))}
    )
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"]
    asked = subprocess.run(  # noqa: S603 - ours
        [*command, "--format", "json", "--progress-spinner", "off", "--timeout", "10"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    status, words = verdict(pins, asked.stdout)
    print(words)
    return status


if __name__ == "__main__":
    sys.exit(main())
