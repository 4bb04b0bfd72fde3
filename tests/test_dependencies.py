"""What the product is made of: exact pins, none older than it may be, all of what is imported, and their licences."""

import ast
import json
import re
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cxr.settings import ROOT
from scripts.audit_pins import verdict
from scripts.sbom import bill, licence

LOCK = ROOT / "requirements.lock"
FLOORS = {
    # Below them: a write outside of the chosen folder (DICOMDIR), code in model files, files of other sessions.
    "pydicom": "3.0.2",
    "pynetdicom": "3.0.4",
    "keras": "3.13.2",
    "streamlit": "1.61",
}
ELSEWHERE = {"torch", "torchxrayvision", "ray", "jax"}
"""What is imported only where somebody installed it for its one purpose (requirements-*.txt)."""
STRONG = re.compile(
    r"(?<!L)(?<!Lesser )(?<!Lesser General Public )\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE
)


def pins() -> list[Requirement]:
    lines = LOCK.read_text().splitlines()
    return [Requirement(line.strip()) for line in lines if line and not line.startswith((" ", "#", "-"))]


def test_every_pin_is_exact():
    assert len(pins()) > 80
    for pin in pins():
        assert [(one.operator, "*" in one.version) for one in pin.specifier] == [("==", False)], str(pin)
        assert pin.url is None


def test_no_pin_is_older_than_it_may_be():
    for pin in pins():
        floor = FLOORS.get(canonicalize_name(pin.name))
        version = next(iter(pin.specifier)).version
        assert floor is None or Version(version) >= Version(floor), str(pin)
    for needed in ("pydicom", "keras", "streamlit"):
        assert needed in {canonicalize_name(pin.name) for pin in pins()}


def test_everything_imported_is_pinned():
    sources = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py"), *(ROOT / "cxr").rglob("*.py")]
    imported = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                imported.add(node.module.split(".")[0])
    packages = metadata.packages_distributions()
    pinned = {canonicalize_name(pin.name) for pin in pins()}
    foreign = imported - set(sys.stdlib_module_names) - {"cxr"} - ELSEWHERE
    assert len(foreign) > 15
    missing = {name for name in foreign if not {canonicalize_name(one) for one in packages.get(name, [])} & pinned}
    assert missing == set()


def test_what_is_installed_is_what_is_pinned():
    here = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate()]
    for name in FLOORS:
        for pin in here:
            if canonicalize_name(pin.name) == name:
                assert pin.specifier.contains(metadata.version(name)), str(pin)


@pytest.mark.parametrize(
    ("words", "strong"),
    [
        ("GPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-or-later", True),
        ("GNU Affero General Public License v3", True),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("BSD-3-Clause", False),
    ],
)
def test_strong_licences_are_told(words: str, strong: bool):
    assert bool(STRONG.search(words)) is strong


def test_no_package_is_under_the_gpl_alone():
    said = {pin.name: licence(pin.name, next(iter(pin.specifier)).version) for pin in pins()}
    known = {name: words for name, words in said.items() if words is not None}
    assert len(known) > 0.9 * len(said)
    assert {name: words for name, words in known.items() if STRONG.search(words) and " OR " not in words} == {}


def test_bill_of_materials():
    pytest.importorskip("cyclonedx_py")
    made = bill(LOCK)
    assert made["bomFormat"] == "CycloneDX"
    listed = {(canonicalize_name(one["name"]), one["version"]) for one in made["components"]}
    assert listed == {(canonicalize_name(pin.name), next(iter(pin.specifier)).version) for pin in pins()}
    named = {one["name"]: one["licenses"][0]["license"]["name"] for one in made["components"] if "licenses" in one}
    assert "MIT" in named["pydicom"]
    assert "timestamp" not in made["metadata"]
    assert "serialNumber" not in made


def test_an_audit_that_asked_nobody_is_no_pass():
    whole = {"name": "keras", "version": "3.15", "vulns": []}
    skipped = {"name": "keras", "skip_reason": "Dependency not found on PyPI and could not be audited: keras (3.15)"}
    bad = whole | {"vulns": [{"id": "CVE-1"}]}
    for found, status in (([whole], 0), ([skipped], 3), ([], 3), ([bad], 1)):
        assert verdict(1, json.dumps({"dependencies": found}))[0] == status
    assert verdict(1, "")[0] == 3
