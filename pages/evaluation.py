"""How good is it?: what a model did on patients who had no part in making it. Open to everybody."""

import streamlit as st

from cxr.evaluation.stored import HELD_OUT, saved
from cxr.evaluation.words import interval
from cxr.model.bundle import BundleRejected, bundle_names
from cxr.registry import serving_name
from cxr.report.evaluation import NOT_HELD_OUT
from cxr.ui.evaluation.agreement import show_agreement
from cxr.ui.evaluation.downloads import show_downloads
from cxr.ui.evaluation.separation import choose_task, show_separation, show_threshold
from cxr.ui.evaluation.source import command, evaluated, evaluated_on
from cxr.ui.evaluation.trust import show_comparison, show_groups, show_mistakes, show_places, show_robustness
from cxr.ui.evaluation.worklist import show_simulation, show_workload
from cxr.ui.front_door import enter
from cxr.ui.sections import open_section
from cxr.ui.words import plain, short_hashes

enter()

SECTIONS = (
    "Separation",
    "Thresholds",
    "Worklist",
    "Where it looks",
    "For whom it fails",
    "Worse films",
    "Mistakes",
    "Compare",
    "Agreement",
)

names = bundle_names()
try:
    serving = serving_name()
except BundleRejected:
    # The record of what serves is damaged; what models did can be looked at all the same.
    serving = ""
heading, model_place, set_place = st.columns([3, 1, 1], vertical_alignment="bottom")
heading.title("How good is it?", anchor=False)
name = model_place.selectbox(
    "Model", names, index=names.index(serving) if serving in names else 0, key="evaluated-model"
)
try:
    bundle, stored, resamples = evaluated(name)
    others = saved(bundle)
    # An imported model has no held-out patients: what is stored with it says on whom it was measured.
    carried = HELD_OUT if stored is None else stored.report.test_set
    test_set = set_place.selectbox(
        "Test set",
        [HELD_OUT, *others],
        format_func=lambda text: (shown := carried if text == HELD_OUT else text)[:1].upper() + shown[1:],
        key=f"test-set-{name}",
    )
    if test_set in others:
        stored, resamples = evaluated_on(others[test_set])
except BundleRejected as error:
    st.error(plain(str(error)), icon=":material/error:")
    st.stop()
if stored is None or resamples is None:
    st.info(f"The model {plain(name)} carries no evaluation. Make it: `{command(name)}`.", icon=":material/info:")
    st.stop()

report, films = stored.report, stored.films
view_alone = report.baselines.view_only.abnormal_auroc
st.markdown(
    f"**{plain(name)}** on {report.films:,} films of {report.patients:,} patients ({plain(report.test_set)}): AUROC "
    f"for abnormal {interval(report.abnormal.auroc)}, by the view alone {interval(view_alone)}; macro over "
    f"{report.macro_findings} of 14 findings {interval(report.macro_auroc)}. Intervals: 95%, bootstrap over patients."
)
if bundle.card.data is None:
    st.caption(
        f"{plain(short_hashes(bundle.card.initial_weights))}. Its scores are not calibrated"
        + (", and abnormal is the largest of them." if bundle.card.abnormal_from == "any finding" else ".")
    )
if not report.held_out:
    st.warning(NOT_HELD_OUT, icon=":material/warning:")
section, place = open_section(SECTIONS, "how-good")
with place:
    if section in ("Separation", "Thresholds"):
        task = choose_task(report)
        if section == "Separation":
            show_separation(report, films, bundle.card, task)
        else:
            show_threshold(report, films, bundle.card, task, resamples)
    elif section == "Worklist":
        show_workload(report, films, resamples)
        show_simulation(films)
    elif section == "Where it looks":
        show_places(report, films, name)
    elif section == "For whom it fails":
        show_groups(report)
    elif section == "Worse films":
        show_robustness(report, name)
    elif section == "Mistakes":
        show_mistakes(films, report.operating_points["balanced"].threshold)
    elif section == "Agreement":
        show_agreement(bundle)
    else:
        show_comparison(name, [other for other in names if other != name], report, films, resamples)
show_downloads(name, report, films)
