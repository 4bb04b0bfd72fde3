"""The serving model as the pages see it: loaded once a process, named on every page."""

import streamlit as st

from cxr.evaluation.stored import REPORT_FILE
from cxr.evaluation.words import TOO_FEW
from cxr.model.bundle import CARD_FILE, Bundle, BundleRejected, bundle_path, file_sha256, load_bundle
from cxr.model.card import Card
from cxr.model.engine import Engine
from cxr.model.verdict import RESEARCH_NOTICE
from cxr.radiograph.isolated import decoder
from cxr.registry import check_same, serving
from cxr.ui.identity import Person
from cxr.ui.login_page import show_person
from cxr.ui.words import estimate_words, plain, short_hashes


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _engine(name: str, card_sha256: str) -> Engine:
    # `card_sha256` is there for the cache's key: Streamlit leaves out arguments that begin with an underscore.
    # It starts while the model is loaded.
    decoder()
    return Engine(load_bundle(bundle_path(name)))


def engine_of(name: str) -> Engine:
    """The engine of a bundle; a changed bundle is loaded anew.

    Raises:
        BundleRejected: it can't be used.
        OSError: it is being replaced.
    """
    return _engine(name, file_sha256(bundle_path(name) / CARD_FILE))


def serving_engine() -> Engine:
    """The engine of the bundle that serves now: of another as soon as it is promoted. A rejected one stops the page."""
    engine = _serving()
    if isinstance(engine, str):
        st.error(f"{engine} No film can be read until this is mended.", icon=":material/error:")
        st.stop()
    return engine


def _serving() -> Engine | str:
    """The engine of the serving bundle; or why there is none, in one sentence."""
    try:
        model = serving()
        engine = engine_of(model.name)
        check_same(model, engine.bundle)
        return engine
    except OSError:
        return "The serving model is being replaced; reload the page in a moment."
    except BundleRejected as error:
        return str(error)


def show_notice(person: Person) -> None:
    """What stands above every page: what this software is not, who is asking, which model serves, and how good it is on
    whom.

    Where none can serve, the pages that need one say why; the others can be used.
    """
    engine = _serving()
    show_person(person)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(RESEARCH_NOTICE, icon=":material/science:", color="orange")
        if isinstance(engine, str):
            return
        bundle = engine.bundle
        st.caption(model_sentence(bundle.name, bundle.card))
        st.page_link("pages/model_card.py", label="Card", icon=":material/description:")


def serving_now() -> Bundle | None:
    """The bundle that serves; None where none can, of which the notice says why."""
    engine = _serving()
    return None if isinstance(engine, str) else engine.bundle


def likelihood_words() -> str:
    """What the numbers of the serving model are, in a table's head."""
    bundle = serving_now()
    return "Score, not calibrated" if bundle is not None and bundle.card.data is None else "Probability, calibrated"


def model_sentence(name: str, card: Card) -> str:
    """Which model, trained on whom, how good on whom, in one sentence."""
    if card.data is None or card.evaluation is None:
        measured = (
            "What it did on films that were labelled here: page “How good is it?”."
            if REPORT_FILE in card.files
            else f"Not measured here: `python -m cxr evaluate --tfrecords GLOB --model {name} --store`."
        )
        return f"Model **{name}**, imported: {plain(short_hashes(card.initial_weights))}. {measured}"
    train, test, overall = card.data.splits["train"], card.data.splits["test"], card.evaluation.overall
    view_alone = (
        TOO_FEW if overall.view_only_abnormal_auroc is None else f"{overall.view_only_abnormal_auroc.value:.2f}"
    )
    return (
        f"Model **{name}**, trained on {train.films:,} films of {train.patients:,} patients (“{card.data.name}”). "
        f"AUROC for abnormal {estimate_words(overall.abnormal_auroc)} on {test.films:,} films of "
        f"{test.patients:,} others; projection alone {view_alone}."
    )
