"""The parts of a model card as tables. Every number comes from the card, none is typed in here."""

import pandas as pd
import streamlit as st

from cxr.evaluation.words import interval
from cxr.findings import display_name
from cxr.model.card import Card, GroupMetrics
from cxr.ui.figures import course_figure, course_table
from cxr.ui.words import estimate_words, point_meaning


def show_groups(card: Card) -> None:
    """Discrimination on all test films and by source and view, beside a baseline that sees only the view."""
    evaluation = card.evaluation
    st.subheader("Abnormal against no finding, and the mean over the findings", anchor=False)
    st.markdown(
        f"AUROC with 95% bootstrap interval over patients. The baseline sees nothing of the film but its projection "
        f"(PA or AP): where the model is no better than that, it has learned nothing about the chest. "
        f"All findings pooled the model scores {evaluation.pooled_auroc:.3f}, and the findings' shares in the "
        f"training films alone, without any film, score "
        f"{evaluation.constant_prior_pooled_auroc:.3f}: do not compare pooled AUROC."
    )
    groups = {"All test films": evaluation.overall}
    groups |= {f"Source {name}": group for name, group in evaluation.by_source.items()}
    groups |= {f"View {name}": group for name, group in evaluation.by_view.items()}
    st.dataframe(pd.DataFrame([_group_row(name, group) for name, group in groups.items()]), hide_index=True)


def _group_row(name: str, group: GroupMetrics) -> dict[str, object]:
    return {
        "Group": name,
        "Films": group.films,
        "Patients": group.patients,
        "Abnormal films": group.abnormal_films,
        "Abnormal": interval(group.abnormal_auroc),
        "Abnormal, view only": interval(group.view_only_abnormal_auroc),
        "Macro": interval(group.macro_auroc),
        "Macro, view only": interval(group.view_only_macro_auroc),
        "Findings in the macro": f"{group.macro_findings} of 14",
    }


def show_findings(card: Card) -> None:
    """AUROC of each finding, and what its thresholds did."""
    st.subheader("Finding by finding", anchor=False)
    name = st.segmented_control(
        "Thresholds of", [p.name for p in card.operating_points], default="balanced", required=True, key="card-point"
    )
    point = card.operating_point(name)
    rows = [
        {
            "Finding": display_name(finding),
            "Test films with it": metrics.positives,
            "of patients": metrics.positive_patients,
            "AUROC": interval(metrics.auroc),
            "Threshold": f"{point.findings[finding].threshold:.3f}",
            "Sensitivity": interval(point.findings[finding].sensitivity),
            "Specificity": interval(point.findings[finding].specificity),
            "Calibration films with it": point.findings[finding].positives,
            "Threshold chosen by": point.findings[finding].basis,
        }
        for finding, metrics in card.evaluation.findings.items()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")


def show_points(card: Card) -> None:
    """The three operating points in words."""
    st.subheader("Operating points", anchor=False)
    for point in card.operating_points:
        st.markdown(
            f"**{point.name.capitalize()}**, threshold {point.threshold:.3f}, chosen on the calibration patients by "
            f"{point.basis}. {point_meaning(point, card)} Uncertain between {point.uncertain_low:.3f} and "
            f"{point.uncertain_high:.3f}."
        )
    rows = [
        {
            "Operating point": point.name.capitalize(),
            "Sensitivity": interval(point.sensitivity),
            "Specificity": interval(point.specificity),
            "Share uncertain": interval(point.uncertain_share),
            "Right side, all films": interval(point.accuracy),
            "Right side, outside the uncertain band": interval(point.accuracy_outside),
        }
        for point in card.operating_points
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)


def show_reliability(card: Card) -> None:
    """Calibration before and after."""
    reliability = card.evaluation.reliability
    st.subheader("Honesty of the abnormal probability", anchor=False)
    st.markdown(
        f"- Expected calibration error (ten bins of equal mass): {reliability.ece_before:.3f} before calibration, "
        f"{interval(reliability.ece_after)} after.\n"
        f"- Brier score: {reliability.brier_before:.3f} before, {interval(reliability.brier_after)} after."
    )


def show_data(card: Card) -> None:
    """Splits, sources and views."""
    st.subheader("Films", anchor=False)
    rows = [
        {
            "Split": name,
            "Films": count.films,
            "Patients": count.patients,
            "Abnormal": f"{count.abnormal_films} ({count.abnormal_films / count.films:.0%})",
        }
        for name, count in card.data.splits.items()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="content")
    st.markdown(
        f"Data set “{card.data.name}”. No patient has films in two splits (split {card.data.hash[:12]}). "
        f"Sources: {_counts(card.data.sources)}. Views: {_counts(card.data.views)}."
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def show_training(card: Card) -> None:
    """How it was trained, with the course of training."""
    st.subheader("Training", anchor=False)
    best = next(epoch for epoch in card.epochs if epoch.number == card.best_epoch)
    macro = "too few films" if best.macro_auroc is None else f"{best.macro_auroc:.3f}"
    st.markdown(
        f"{card.backbone} at {card.input_size} pixels, starting from {card.initial_weights}. Epoch {card.best_epoch} "
        f"of {len(card.epochs)} was kept: macro-AUROC {macro} on the validation patients, a number that chose the "
        f"epoch and is therefore too good; on the test patients it is "
        f"{estimate_words(card.evaluation.overall.macro_auroc)}."
    )
    st.plotly_chart(course_figure(card), config={"displaylogo": False})
    with st.expander("The same as a table"):
        st.dataframe(course_table(card), hide_index=True, width="content")
    with st.expander("Configuration and versions"):
        st.json(card.training)
        st.json(card.versions)
