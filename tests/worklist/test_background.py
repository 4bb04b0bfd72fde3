"""What an app does for the worklist beside showing it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from until import until
from worklist_rows import add_study

from cxr.settings import settings
from cxr.worklist import background
from cxr.worklist.database import DatabaseUnavailable
from cxr.worklist.query import Query
from cxr.worklist.studies import list_studies
from cxr.worklist.tables import Study


def test_studies_that_are_older_than_they_may_become_are_deleted(database, films, changed_settings, monkeypatch):
    for name in ("old", "new"):
        add_study(database, name)
    with database.writing() as session:
        now = datetime.now(UTC)
        session.execute(update(Study).values(arrived=now))
        session.execute(update(Study).where(Study.name == "old").values(arrived=now - timedelta(days=8)))
    changed_settings.setenv("CXR_KEEP_DAYS", "7")
    settings.cache_clear()
    monkeypatch.setattr(background, "database", lambda: database)
    monkeypatch.setattr(background, "film_folder", lambda: films)
    retention = background.Retention()
    until(lambda: [row.name for row in list_studies(database, Query())[0]] == ["new"])
    retention.stop()
    assert retention.problem is None


def test_what_stands_in_the_way_of_deleting_is_said(database, films, monkeypatch):
    def fails(*_: object) -> int:
        raise DatabaseUnavailable("It is locked.")

    monkeypatch.setattr(background, "database", lambda: database)
    monkeypatch.setattr(background, "film_folder", lambda: films)
    monkeypatch.setattr(background, "delete_expired", fails)
    retention = background.Retention()
    until(lambda: retention.problem is not None)
    retention.stop()
    assert "tried again in an hour" in retention.problem
