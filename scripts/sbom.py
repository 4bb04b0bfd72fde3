"""Write what the app is made of (CycloneDX 1.6): every pin of requirements.lock, with its licence. `make sbom`.

    python -m scripts.sbom build/sbom.json

Without the network; the same lock gives the same file. A licence is what the installed package of that very version
says of itself; a pin for another version of Python is not installed here, and then none is given.
"""

import argparse
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from cxr.settings import ROOT

LOCK = ROOT / "requirements.lock"


def licence(name: str, version: str) -> str | None:
    """The licence of an installed package in one line; None where it, or another version, is installed, or says none."""
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    if said["Version"] != version:
        return None
    if said["License-Expression"]:
        return str(said["License-Expression"])
    classified = [line.split(" :: ")[-1] for line in said.get_all("Classifier", []) if line.startswith("License ::")]
    named = [line for line in classified if line != "OSI Approved"]
    words = str(said["License"] or "").strip()
    return "; ".join(named) or (words.splitlines()[0][:100] if words else None)


def bill(lock: Path) -> dict[str, Any]:
    """The bill of materials of a lock, as JSON.

    Raises:
        subprocess.CalledProcessError: cyclonedx-bom does not take the lock.
        ValueError: what came of it does not hold to the schema.
    """
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        str(lock),
        "--output-reproducible",
        "--no-validate",
    ]
    made: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603 - ours
    for component in made["components"]:
        # Where a line stands in the lock is no property of a package, nor is an index that somebody may not use.
        component.pop("description", None)
        component.pop("externalReferences", None)
        words = licence(component["name"], component["version"])
        if words is not None:
            component["licenses"] = [{"license": {"name": words}}]
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made))
    if error is not None:
        raise ValueError(f"The bill of materials does not hold to its schema: {error.data}")
    return made


def main() -> None:
    """Write it where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    made = bill(LOCK)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    without = [one["name"] for one in made["components"] if "licenses" not in one]
    print(f"{file}: {len(made['components'])} packages; no licence known of: {', '.join(without) or 'none'}")


if __name__ == "__main__":
    main()
