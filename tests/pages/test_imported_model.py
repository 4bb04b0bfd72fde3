"""The pages with an imported model that serves."""

from driven import opened, words

from cxr.cli import main
from cxr.samples import SAMPLES

HAS = ["Effusion", "Nodule", "Mass"]


def press(app, label):
    next(button for button in app.button if button.label == label).click().run()


def test_read_a_film(serving_import):
    app = opened("read_film")
    press(app, SAMPLES[0].label)
    assert not app.exception
    table = app.dataframe[0].value.set_index("Finding")
    assert len(table) == 14
    assert sorted(table.index[:3]) == sorted(HAS)
    assert (table["Flag"] == "not in this model").sum() == 11
    assert table["Probability"].isna().sum() == 11
    assert list(app.dataframe[1].value["Finding"]) == ["Fracture"]
    said = words(app)
    assert "no calibrated probability" in said
    assert "Abnormal means: the largest score of any pathology." in said
    assert "imported: test.pt" in said
    assert "Not measured here" in said
    assert "held-out" not in said
    assert len(app.selectbox[0].options) == 4, "heatmaps of what it has"
    app.selectbox[0].set_value("Fracture").run()
    assert not app.exception


def test_model_card_claims_nothing(serving_import):
    app = opened("model_card")
    assert not app.exception
    said = words(app)
    assert "its abnormal probability is its largest score of any pathology" in said
    assert "Findings that it does not have: Atelectasis" in said
    assert "Starts from: test.pt" in said
    assert "AUROC for abnormal" not in said


def test_how_good_is_it(serving_import, synthetic_data):
    app = opened("evaluation")
    assert not app.exception
    assert "carries no evaluation" in words(app)
    assert main(["evaluate", "--tfrecords", f"{synthetic_data}/*.tfrec", "--store"]) == 0
    app = opened("evaluation")
    for name in ("Separation", "Thresholds", "Worklist", "Where it looks", "For whom it fails", "Mistakes"):
        app.session_state["how-good"] = name
        app.run()
        assert not app.exception, name
        said = words(app)
        assert "it may have been trained on some of them" in said
        assert "not calibrated, and abnormal is the largest of them" in said
    app.session_state["how-good"] = "Separation"
    app.run()
    assert app.selectbox(key="question").options == ["Abnormal", *HAS]
    table = app.dataframe[0].value.set_index("Question")
    assert table.loc["Hernia", "AUROC"] == "not in this model"
