"""Worklist: the studies in the order in which to read them, and the reading of one. For readers."""

import streamlit as st

from cxr.ui.admin.confirm import show_what_happened
from cxr.ui.front_door import enter_as_reader
from cxr.ui.words import plain
from cxr.ui.worklist.desk import clear_desk, open_now
from cxr.ui.worklist.filters import query_of, show_filters, show_search
from cxr.ui.worklist.intake_view import show_intake
from cxr.ui.worklist.list_view import show_list, show_rule
from cxr.ui.worklist.problems import show_problems
from cxr.ui.worklist.reader import reader, show_reader
from cxr.ui.worklist.study_view import show_study
from cxr.ui.worklist.styles import styles
from cxr.worklist.database import Database, DatabaseUnavailable, database
from cxr.worklist.film_folder import FilmFolder, film_folder

person = enter_as_reader()


def show(db: Database, films: FilmFolder) -> None:
    """The list, or the study that the address names."""
    who = reader(person)
    number = open_now()
    clear_desk(db, number, who.name)
    show_what_happened()
    st.html(styles(list_open=number is None))
    if number is not None:
        show_study(db, films, number, who)
        return
    with st.sidebar:
        show_intake(db, films, who.name)
        status, verdict, finding = show_filters(blind=who.blind)
        show_reader(who)
    text, order = show_search()
    query = query_of(status, verdict, finding, text, order)
    show_rule(query)
    show_problems()
    show_list(db, films, query, who)


try:
    show(database(), film_folder())
except DatabaseUnavailable as error:
    st.error(plain(str(error)), icon=":material/error:")
except OSError as error:
    why = plain(error.strerror or "unknown error")
    st.error(f"The worklist's folder can't be used: {why}.", icon=":material/error:")
