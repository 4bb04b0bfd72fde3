"""The rules about who may import whom, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

from cxr.settings import ROOT

LAYERS: Final = (
    (
        "cxr.account",
        "cxr.findings",
        "cxr.settings",
        "cxr.files",
        "cxr.lock",
        "cxr.logs",
        "cxr.metrics",
        "cxr.turns",
        "cxr.heap",
    ),
    ("cxr.model", "cxr.dataset", "cxr.radiograph", "cxr.samples"),
    ("cxr.training", "cxr.evaluation"),
    (
        "cxr.worklist",
        "cxr.jobs",
        "cxr.registry",
        "cxr.gate",
        "cxr.promotion",
        "cxr.report",
        "cxr.classify",
        "cxr.evaluate",
        "cxr.cli",
        "cxr.cli_audit",
        "cxr.cli_classify",
        "cxr.cli_export",
        "cxr.cli_feedback",
        "cxr.cli_health",
        "cxr.health",
        "cxr.cli_jobs",
        "cxr.cli_models",
        "cxr.cli_scope",
        "cxr.cli_worklist",
    ),
    ("cxr.ui", "cxr.__main__"),
    ("app", "pages"),
)
"""From the foundation up: a module imports from its own layer and from those below."""

SERVING: Final = ("cxr.classify", "cxr.ui.model")
TRAINING_ONLY: Final = {"keras", "tensorflow", "tf_keras_vis"}


def _sources() -> dict[str, Path]:
    files = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py")), *sorted((ROOT / "cxr").rglob("*.py"))]
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


SOURCES: Final = _sources()
"""Module -> file, of everything that ships."""


def _statements(tree: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    """Every node; without `lazy` only those that run on import, so no function bodies and no `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if not lazy:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                yield from (found for other in node.orelse for found in (other, *_statements(other, lazy)))
                continue
        yield node
        yield from _statements(node, lazy)


def _imports(source: str, lazy: bool) -> set[str]:
    """Dotted names of the modules that a source imports; `from package import module` gives `package.module`."""
    found = set()
    for node in _statements(ast.parse(source), lazy):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in SOURCES else str(node.module))
    return found


IMPORTS: Final = {name: _imports(file.read_text(), lazy=True) for name, file in SOURCES.items()}
ON_IMPORT: Final = {name: _imports(file.read_text(), lazy=False) for name, file in SOURCES.items()}


def _layer(module: str) -> int:
    """Number of the layer of a module; the package `cxr` itself holds the version only, and lies below all."""
    if module == "cxr":
        return -1
    for number, layer in enumerate(LAYERS):
        if any(module == part or module.startswith(f"{part}.") for part in layer):
            return number
    raise AssertionError(f"{module} has no layer; give it one in LAYERS.")


def _reached(start: tuple[str, ...]) -> set[str]:
    """Everything that is imported when some modules are: theirs, and the packages that these lie in."""
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            parent = module.rpartition(".")[0]
            waiting += ON_IMPORT.get(module, set()) | ({parent} if parent else set())
    return reached


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import keras.ops, numpy as np
from cxr import findings
from cxr.settings import settings
if TYPE_CHECKING:
    import tensorflow
else:
    import json
class A:
    import csv
    def b(self):
        import streamlit
try:
    from PIL import Image
except ImportError:
    pass
"""
    on_import = {"keras.ops", "numpy", "cxr.findings", "cxr.settings", "json", "csv", "PIL"}
    assert _imports(source, lazy=False) == on_import
    assert _imports(source, lazy=True) == on_import | {"tensorflow", "streamlit"}


def test_imports_of_this_project_name_modules_that_exist() -> None:
    named = {target for targets in IMPORTS.values() for target in targets if target.split(".")[0] == "cxr"}
    assert named <= set(SOURCES)


@pytest.mark.parametrize("module", SOURCES)
def test_dependencies_point_one_way(module: str) -> None:
    targets = {target for target in IMPORTS[module] if target.split(".")[0] in {"cxr", "app", "pages"}}
    assert not {target for target in targets if _layer(target) > _layer(module)}


def test_no_page_imports_another() -> None:
    assert not [name for name, targets in IMPORTS.items() if any(t.split(".")[0] in {"app", "pages"} for t in targets)]


def test_there_is_no_import_cycle() -> None:
    """Not even one that a function's own import would hide."""
    graph = {name: {t for t in targets if t in SOURCES and t != "cxr"} for name, targets in IMPORTS.items()}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")
    assert order.index("cxr.findings") < order.index("cxr.classify") < order.index("pages.read_film")


def test_streamlit_is_for_the_app_the_pages_and_the_widgets() -> None:
    users = {name for name, targets in IMPORTS.items() if any(t.split(".")[0] == "streamlit" for t in targets)}
    assert "app" in users
    assert not {name for name in users if name.split(".")[0] == "cxr" and name.split(".")[1:2] != ["ui"]}


def test_the_serving_path_imports_neither_tensorflow_nor_keras() -> None:
    reached = _reached(SERVING)
    assert {"cxr.model", "cxr.model.engine", "cxr.radiograph.dicom", "cxr.settings", "onnxruntime"} <= reached
    guilty = {module for module in reached if module.split(".")[0] in TRAINING_ONLY}
    assert not guilty, f"{guilty} on import of {[m for m in reached if ON_IMPORT.get(m, set()) & guilty]}"


def test_nothing_that_serving_imports_brings_them_along() -> None:
    program = f"import cxr.classify, sys; print(*sorted({TRAINING_ONLY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_app_starts_without_what_takes_long_to_import_and_few_pages_need() -> None:
    seldom = {*TRAINING_ONLY, "scipy.stats", "matplotlib", "sklearn", "pandera", "altair", "ray"}
    program = f"import app, cxr.ui.server, sys; cxr.ui.server.load_pages(); print(*sorted({seldom} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_what_starts_and_watches_jobs_imports_neither() -> None:
    """Not even the worker does before its turn has come, nor the checks before a job is queued."""
    modules = tuple(name for name in SOURCES if f"{name}.".startswith("cxr.jobs."))
    reached = _reached((*modules, "cxr.cli_jobs"))
    assert {"cxr.jobs.worker", "cxr.jobs.data_checks", "cxr.training.parent", "psutil", "pynvml"} <= reached
    guilty = {module for module in reached if module.split(".")[0] in TRAINING_ONLY}
    assert not guilty, f"{guilty} on import of {[m for m in reached if ON_IMPORT.get(m, set()) & guilty]}"


READERS: Final = {"read_radiograph", "full_depth", "thumbnail", "read_dicom", "read_raster", "header", "decoded"}
"""What decodes in the process that calls it; see `cxr.radiograph.isolated`."""

READ_THEMSELVES: Final = ("cxr.radiograph", "cxr.training", "cxr.dataset.labelled", "cxr.model.export")
"""Training and evaluation read data sets that somebody chose."""


def test_only_training_and_evaluation_decode_films_in_their_own_process() -> None:
    guilty = {}
    for name, file in SOURCES.items():
        if any(name == part or name.startswith(f"{part}.") for part in READ_THEMSELVES):
            continue
        named = {
            alias.name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cxr.radiograph")
            for alias in node.names
        }
        others = {target for target in IMPORTS[name] if target.split(".")[0] in ("pydicom", "gdcm", "openjpeg")}
        if READERS & named or others:
            guilty[name] = sorted(READERS & named | others)
    assert not guilty


def test_what_decodes_imports_no_settings() -> None:
    program = "import cxr.radiograph.child, sys; print(*sorted({'cxr.settings', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_the_app_and_its_pages_are_short() -> None:
    assert _lines(ROOT / "app.py") < 80
    assert not {file.name: _lines(file) for file in (ROOT / "pages").rglob("*.py") if _lines(file) >= 150}


@pytest.mark.parametrize("folder", ["cxr", "pages", "tests", "scripts", "benchmarks"])
def test_no_file_is_two_ideas_long(folder: str) -> None:
    assert not {file.name: _lines(file) for file in (ROOT / folder).rglob("*.py") if _lines(file) > 400}
