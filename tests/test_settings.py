"""Where settings come from, and which wins."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from cxr.settings import ROOT, Settings, settings


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is read in place of the project's; no variable is set."""
    for name in os.environ:
        if name.upper().startswith("CXR_"):
            monkeypatch.delenv(name)
    path = tmp_path / "cxr.toml"
    monkeypatch.setitem(Settings.model_config, "toml_file", path)
    return path


def test_without_a_file_and_variables_the_defaults_hold(toml: Path) -> None:
    found = Settings()
    assert (found.model, found.threads, found.max_megapixels) == (None, 0, 64.0)
    assert (found.models_dir, found.cache_dir) == (ROOT / "models", ROOT / "cache")


def test_the_root_is_the_folder_of_the_app() -> None:
    assert (ROOT / "app.py").is_file()


def test_the_file_is_the_project_s_cxr_toml() -> None:
    assert Settings.model_config["toml_file"] == ROOT / "cxr.toml"


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text('model = "from the file"\nthreads = 3\n')
    monkeypatch.setenv("CXR_MODEL", "from the environment")
    found = Settings()
    assert (found.model, found.threads, found.max_megapixels) == ("from the environment", 3, 64.0)


def test_paths_are_paths(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_MODELS_DIR", "/srv/models")
    assert Settings().models_dir == Path("/srv/models")


def test_an_unknown_name_in_the_file_is_refused(toml: Path) -> None:
    toml.write_text('modle = "typo"\n')
    with pytest.raises(ValidationError, match=r"modle\n.*Extra inputs are not permitted"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"), [("CXR_THREADS", "-1"), ("CXR_THREADS", "two"), ("CXR_MAX_MEGAPIXELS", "0")]
)
def test_a_value_out_of_range_is_refused_by_name(
    toml: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("CXR_").lower()):
        Settings()


def test_settings_cant_change(toml: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().threads = 4


def test_settings_are_read_once(toml: Path, changed_settings: pytest.MonkeyPatch) -> None:
    changed_settings.setenv("CXR_MODEL", "first")
    assert settings().model == "first"
    changed_settings.setenv("CXR_MODEL", "second")
    assert settings().model == "first"
