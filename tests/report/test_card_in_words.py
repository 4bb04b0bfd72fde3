"""What the model card says, of the shipped model and of cards with more and with less in them."""

import re

import numpy as np
import pytest

from cxr.evaluation.against import compare_with_baselines
from cxr.evaluation.evaluate import evaluate, view_only
from cxr.evaluation.stored import load_evaluation
from cxr.evaluation.words import TOO_FEW, compared, interval
from cxr.findings import FINDINGS, display_name
from cxr.model.bundle import bundle_path, load_bundle
from cxr.model.card import Card, Estimate, Paired
from cxr.report.blocks import Block, Heading, Paragraph, Points, Table
from cxr.report.card_analyses import UNMEASURED, against_baselines, finding_thresholds
from cxr.report.markdown import to_markdown
from cxr.report.model_card import document, sections

MITCHELL = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)


@pytest.fixture(scope="module")
def card() -> Card:
    """The shipped model's, as if none of the later measures had been taken."""
    shipped = load_bundle(bundle_path("default")).card
    assert shipped.evaluation is not None
    bare = {"by_sex": {}, "by_age": {}, "by_view_and_sex": {}}
    for part in ("by_source", "by_view"):
        groups = getattr(shipped.evaluation, part)
        bare[part] = {name: group.model_copy(update={"findings": {}}) for name, group in groups.items()}
    findings = {
        name: found.model_copy(update={"average_precision": None, "reliability": None})
        for name, found in shipped.evaluation.findings.items()
    }
    points = tuple(
        point.model_copy(update={"uncertain_basis": None, "accuracy_gain": None}) for point in shipped.operating_points
    )
    evaluation = shipped.evaluation.model_copy(update=bare | {"findings": findings})
    return shipped.model_copy(update={"evaluation": evaluation, "comparison": (), "operating_points": points})


@pytest.fixture(scope="module")
def full(card: Card) -> Card:
    """The same with every measure, and two baselines."""
    stored = load_evaluation(load_bundle(bundle_path("default")))
    assert stored is not None
    films = stored.films
    evaluation = evaluate(
        films.labels, films.probabilities, films.uncalibrated, films.metadata, films.labels, films.metadata
    )
    baselines = {
        "the view alone": view_only(films.labels, films.metadata["view"], films.metadata["view"]),
        "nothing but chance": np.random.default_rng(0).random(films.probabilities.shape),
    }
    comparison = compare_with_baselines(films.labels, films.probabilities, films.metadata, baselines)
    gain = Estimate(value=0.03, low=0.01, high=0.05)
    points = tuple(
        point.model_copy(update={"uncertain_basis": "a rule", "accuracy_gain": gain}) for point in card.operating_points
    )
    return card.model_copy(update={"evaluation": evaluation, "comparison": comparison, "operating_points": points})


@pytest.fixture(scope="module")
def unmeasured(card: Card) -> Card:
    """An imported model's: no data, no evaluation, one operating point whose rates nobody measured."""
    rates = ("sensitivity", "specificity", "uncertain_share", "accuracy", "accuracy_outside")
    point = card.operating_point("balanced").model_copy(update=dict.fromkeys(rates))
    nothing = {"data": None, "evaluation": None, "best_epoch": None, "epochs": (), "training": {}}
    return card.model_copy(update=nothing | {"operating_points": (point,), "files": {}})


def words(blocks: list[Block]) -> str:
    """All text outside of tables."""
    texts = [b.text for b in blocks if isinstance(b, Heading | Paragraph)]
    return " ".join(texts + [text for b in blocks if isinstance(b, Points) for text in b.texts])


def table(blocks: list[Block], first: str) -> dict[str, dict[str, str]]:
    """The table whose first column is called so: rows by their first cell."""
    found = next(b for b in blocks if isinstance(b, Table) and b.header[0] == first)
    return {row[0]: dict(zip(found.header, row, strict=True)) for row in found.rows}


@pytest.mark.parametrize("kind", ["card", "full", "unmeasured"])
def test_every_section_of_the_paper_stands_in_its_order(kind: str, request: pytest.FixtureRequest) -> None:
    asked = request.getfixturevalue(kind)
    names = [name for name in sections(asked) if name in MITCHELL]
    assert tuple(names) == MITCHELL
    text = to_markdown(document(asked, "abc"))
    assert text.startswith(f"# Model card: {asked.name}\n")
    assert "Not for diagnosis" in text
    assert "SHA-256 abc" in text
    for wrong in ("None,", "nan", "Estimate(", "{"):
        assert wrong not in text


def test_numbers_are_those_of_the_card(card: Card) -> None:
    evaluation = card.evaluation
    assert evaluation is not None
    rows = table(sections(card)["Quantitative analyses"], "Test films")
    assert rows["All"]["Films"] == f"{evaluation.overall.films:,}"
    assert rows["All"]["AUROC abnormal"] == interval(evaluation.overall.abnormal_auroc)
    for name, group in evaluation.by_view.items():
        assert rows[f"View {name}"]["Macro-AUROC"] == interval(group.macro_auroc)
        assert rows[f"View {name}"]["Abnormal, view alone"] == interval(group.view_only_abnormal_auroc)


def test_what_an_older_card_lacks_is_not_measured(card: Card) -> None:
    parts = sections(card)
    said = words(parts["Quantitative analyses"])
    assert f"By sex and age: {UNMEASURED}." in said
    assert f"View and sex: {UNMEASURED}." in said
    assert f"Models of other recipes on the same films: {UNMEASURED}." in said
    assert table(parts["Finding by finding"], "Finding")["Effusion"]["ECE after"] == UNMEASURED
    assert table(parts["Operating points"], "Operating point")["Balanced"]["Gain, paired"] == UNMEASURED


def test_groups_by_sex_age_and_both_view_and_sex_are_listed(full: Card) -> None:
    evaluation = full.evaluation
    assert evaluation is not None
    blocks = sections(full)["Quantitative analyses"]
    rows = table(blocks, "Test films")
    assert {"Sex F", "Sex M", "Age 40 to 59"} <= set(rows)
    assert rows["Age 80 and older"]["AUROC abnormal"] == TOO_FEW
    assert UNMEASURED not in words(blocks)
    assert set(table(blocks, "View and sex")) == set(evaluation.by_view_and_sex)


def test_each_finding_is_listed_with_its_groups(full: Card) -> None:
    evaluation = full.evaluation
    assert evaluation is not None
    blocks = sections(full)["Finding by finding"]
    rows = table(blocks, "Finding")
    assert set(rows) == set(map(display_name, FINDINGS))
    effusion = evaluation.findings["Effusion"]
    assert effusion.reliability is not None
    assert rows["Effusion"]["ECE after"] == interval(effusion.reliability.ece_after)
    assert rows["Hernia"]["Average precision"] == TOO_FEW
    tables = [b for b in blocks if isinstance(b, Table)]
    women = tables[1].header.index("F")
    in_women = evaluation.by_sex["F"].findings["Effusion"]
    cell = next(row for row in tables[1].rows if row[0] == "Effusion")[women]
    assert cell == f"{interval(in_women.auroc)}; {in_women.positives} of {in_women.positive_patients}"


def paired(value: float, low: float, high: float) -> Paired:
    score = Estimate(value=0.7, low=0.6, high=0.8)
    return Paired(model=score, baseline=score, difference=Estimate(value=value, low=low, high=high))


def test_a_comparison_in_words() -> None:
    assert compared(paired(0.08, 0.01, 0.15)) == "better: +0.080 (0.010 to 0.150)"
    assert compared(paired(0.08, -0.01, 0.15)) == "not shown: +0.080 (-0.010 to 0.150)"
    assert compared(paired(-0.08, -0.1, -0.01)) == "worse: -0.080 (-0.100 to -0.010)"
    assert compared(None) == TOO_FEW


def test_the_card_says_which_baselines_it_does_not_beat_on_the_honest_source(full: Card) -> None:
    first, second = full.comparison

    def with_difference(low: float) -> str:
        group = second.by_source["jrzech"].model_copy(
            update={"abnormal_auroc": paired(0.1, low, 0.2), "macro_auroc": paired(0.1, 0.05, 0.2)}
        )
        return against_baselines((second.model_copy(update={"by_source": {"jrzech": group}}),))

    assert with_difference(0.01) == (
        "On source jrzech the model's AUROC for abnormal is higher than that of nothing but chance, so of each "
        "baseline. Its macro-AUROC there is higher than that of nothing but chance, so of each baseline."
    )
    missed = with_difference(-0.01)
    assert "AUROC for abnormal is not shown to be higher than that of nothing but chance." in missed
    elsewhere = tuple(c.model_copy(update={"by_source": {}}) for c in (first, second))
    assert against_baselines(elsewhere).startswith("On all test films the model's AUROC for abnormal is higher than")
    assert against_baselines(full.comparison) in words(sections(full)["Caveats and recommendations"])


def test_baselines_are_listed_where_something_can_be_said_of_them(full: Card) -> None:
    blocks = sections(full)["Quantitative analyses"]
    rows = next(b for b in blocks if isinstance(b, Table) and b.header[0] == "Baseline").rows
    assert {row[0] for row in rows} == {"the view alone", "nothing but chance"}
    assert ("the view alone", "source jrzech") in {row[:2] for row in rows}
    assert "source canon" not in {row[1] for row in rows}


def test_whether_the_uncertain_band_helps_is_said_either_way(full: Card) -> None:
    said = words(sections(full)["Operating points"])
    assert "uncertain: a rule. On the test patients verdicts outside the band were right more often: +3.0" in said
    none = Estimate(value=0.01, low=-0.02, high=0.03)
    points = tuple(point.model_copy(update={"accuracy_gain": none}) for point in full.operating_points)
    said = words(sections(full.model_copy(update={"operating_points": points}))["Operating points"])
    assert "is not shown on the test patients: +1.0 (-2.0 to 3.0) percentage points." in said


def test_a_model_that_nobody_measured_claims_no_number(unmeasured: Card) -> None:
    parts = sections(unmeasured)
    assert "Nobody has measured this model here" in words(parts["Quantitative analyses"])
    stored = unmeasured.model_copy(update={"files": {"report.json": "0" * 64}})
    assert "page “How good is it?”" in words(sections(stored)["Quantitative analyses"])
    row = table(parts["Operating points"], "Operating point")["Balanced"]
    assert row["Sensitivity"] == row["Right, all films"] == UNMEASURED
    claim = table(parts["CLAIM checklist"], "Item")
    assert {claim[item]["Fulfilled"] for item in ("20", "25", "28", "29", "35", "36")} == {"no"}


def test_claim_has_its_42_items_and_counts_them_right(full: Card) -> None:
    blocks = sections(full)["CLAIM checklist"]
    rows = table(blocks, "Item")
    assert list(rows) == [str(number) for number in range(1, 43)]
    fulfilled = [row["Fulfilled"] for row in rows.values()]
    yes, part, no, other = map(int, re.findall(r"(\d+) of 42.*part: (\d+); not: (\d+); (\d+) do", words(blocks))[0])
    counts = {word: fulfilled.count(word) for word in ("yes", "in part", "no", "does not apply")}
    assert counts == {"yes": yes, "in part": part, "no": no, "does not apply": other}
    assert rows["32"]["Fulfilled"] == "no"
    assert "the view alone" in rows["30"]["This model"]


def test_thresholds_of_findings_are_those_of_the_point(card: Card) -> None:
    point = card.operating_point("rule-in")
    rows = {row[0]: row for row in finding_thresholds(point).rows}
    mass = point.findings["Mass"]
    assert rows["Mass"][1:3] == (f"{mass.threshold:.3f}", interval(mass.sensitivity))
