"""`python -m cxr evaluate`."""

import json
import shutil

import pytest
from sklearn.metrics import roc_auc_score

from cxr.cli import main
from cxr.dataset.shards import read_records
from cxr.evaluation.stored import load_evaluation, load_saved, saved
from cxr.findings import CATEGORIES
from cxr.model.bundle import load_bundle, write_card
from cxr.settings import settings


@pytest.fixture
def serving(changed_settings, tiny_bundle, tmp_path):
    """A copy of the tiny bundle as the serving model, and a second one."""
    for name in ("tiny", "other"):
        shutil.copytree(tiny_bundle.path, tmp_path / "models" / name)
    changed_settings.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    changed_settings.setenv("CXR_MODEL", "tiny")
    settings.cache_clear()
    return load_bundle(tmp_path / "models" / "tiny")


def test_all_films_of_some_shards(serving, synthetic_data, tmp_path, capsys):
    out = {kind: tmp_path / f"r.{kind}" for kind in ("json", "html", "pdf")}
    files = [word for kind, path in out.items() for word in (f"--{kind}", str(path))]
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", *files]) == 0
    found = json.loads(out["json"].read_text())
    assert (found["films"], found["patients"], found["held_out"]) == (360, 180, False)
    assert found["test_set"] == synthetic_data.name, "a path is nobody's business"
    assert found["abnormal"]["auroc"]["value"] > 0.9
    assert found["findings"]["Edema"]["auroc"] is None
    assert "AUROC" in capsys.readouterr().out
    html = out["html"].read_text()
    assert "<h1>How good is the model tiny?</h1>" in html
    assert "not a medical device" in html
    assert "it may have been trained on some of them" in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert out["pdf"].read_bytes().startswith(b"%PDF-")


def test_held_out_patients_are_those_of_the_card(serving, synthetic_data, tmp_path):
    report = tmp_path / "r.json"
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--held-out", "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    assert found["films"] == serving.card.data.splits["test"].films
    assert found["abnormal"]["auroc"]["value"] == pytest.approx(
        serving.card.evaluation.overall.abnormal_auroc.value, abs=0.01
    )


def test_held_out_of_other_films_is_refused(serving, synthetic_data, capsys):
    shard = sorted(synthetic_data.glob("*.tfrec"))[0]
    assert main(["evaluate", "--tfrecords", str(shard), "--held-out"]) == 1
    assert "are not those that the model tiny was made from" in capsys.readouterr().err


def test_store_keeps_it_in_the_bundle(serving, synthetic_data):
    glob = f"{synthetic_data}/*.tfrec"
    assert main(["evaluate", "--tfrecords", glob, "--store", "--robustness", "--randomisation"]) == 0
    stored = load_evaluation(load_bundle(serving.path))
    assert len(stored.report.robustness) == 41
    assert stored.report.randomisation.depends_on_weights is not None
    films = stored.films
    expected = roc_auc_score(films.abnormal, films.abnormal_probability)
    assert stored.report.abnormal.auroc.value == pytest.approx(expected, abs=1e-6)
    assert main(["evaluate", "--tfrecords", glob, "--store"]) == 0
    again = load_evaluation(load_bundle(serving.path)).report
    assert again.robustness == stored.report.robustness, "what took long is kept"


def test_two_models_are_compared_in_pairs(serving, synthetic_data, tmp_path, capsys):
    report = tmp_path / "r.json"
    words = ["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--compare", "other", "--json", str(report)]
    assert main(words) == 0
    found = json.loads(report.read_text())["comparison"]
    assert found["other"]["name"] == "other"
    assert found["abnormal_auroc"] == {"value": 0, "low": 0, "high": 0}
    assert found["delong"]["p"] == 1
    assert "less that of other" in capsys.readouterr().out


def test_folder_of_images_with_labels(serving, synthetic_data, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    rows = [",".join(("", *CATEGORIES))]
    for number, record in enumerate(read_records(sorted(synthetic_data.glob("*.tfrec"))[0])):
        # Files of one's own hospital may be called anything.
        name = f"film {number}.jpeg"
        (images / name).write_bytes(record.image)
        rows.append(",".join((name, *map(str, record.labels))))
    rows.append("missing.png,1" + ",0" * 14)
    labels, metadata = tmp_path / "labels.csv", tmp_path / "metadata.csv"
    labels.write_text("\n".join(rows))
    lines = ["Image Index,Patient ID,View Position"]
    lines += [f"{row.split(',')[0]},{number},PA" for number, row in enumerate(rows[1:])]
    metadata.write_text("\n".join(lines))
    report = tmp_path / "r.json"
    words = ["--labels", str(labels), "--metadata", str(metadata), "--json", str(report)]
    assert main(["evaluate", "--images", str(images), *words]) == 0
    found = json.loads(report.read_text())
    assert (found["films"], found["patients"]) == (180, 180)
    assert found["abnormal"]["auroc"]["value"] > 0.9
    assert main(["evaluate", "--images", str(images)]) == 2
    assert "needs --labels" in capsys.readouterr().err


def test_no_shards_is_a_sentence(serving, tmp_path, capsys):
    assert main(["evaluate", "--tfrecords", f"{tmp_path}/*.tfrec"]) == 1
    assert "There are no shards at" in capsys.readouterr().err


def test_saved_evaluation_is_found_by_its_model_until_that_is_replaced(
    serving, synthetic_data, tmp_path, changed_settings
):
    changed_settings.setenv("CXR_EVALUATIONS_DIR", str(tmp_path / "evaluations"))
    settings.cache_clear()
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--save", "all films"]) == 0
    assert list(saved(serving)) == ["all films"]
    assert load_saved(saved(serving)["all films"]).report.films == 360
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--store"]) == 0
    again = load_bundle(serving.path)
    assert again.sha256 != serving.sha256 or load_evaluation(again) is not None
    assert list(saved(again)) == ["all films"]
    write_card(serving.path, again.card.model_copy(update={"created": "later"}))
    assert saved(load_bundle(serving.path)) == {}


def test_name_of_a_saved_evaluation_is_one_of_a_folder(serving, synthetic_data, capsys):
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--save", "../away"]) == 1
    assert "can't be called '../away'" in capsys.readouterr().err
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--save", "held-out patients"]) == 1
