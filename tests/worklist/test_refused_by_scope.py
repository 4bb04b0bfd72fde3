"""Films that the scope check of a model refuses, and films that a reader turns."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from small_films import SIDE, Brightness, png
from sqlalchemy import select

from cxr.classify import SEEMS_INVERTED, TURNED
from cxr.radiograph.placement import AS_FILED, UNTOUCHED, Placement
from cxr.radiograph.scope import Scope
from cxr.ui.worklist import turn_view
from cxr.worklist.claims import InReading
from cxr.worklist.intake import take_in
from cxr.worklist.scoring import score_film, score_queued
from cxr.worklist.scoring_queue import Leases
from cxr.worklist.status import FilmState, Status
from cxr.worklist.studies import claim, finish, study
from cxr.worklist.tables import AuditLine, Film, Result, Study
from cxr.worklist.turning import NoSuchFilm, turn_film

LATERAL = Scope("This looks like a lateral film.", "lateral")


def checked(name: str, says) -> Brightness:
    """A model whose scope check is a function of a film."""
    engine = Brightness(name)
    engine.scope = SimpleNamespace(check=lambda film, features, square: says(film))
    return engine


def corner(level: float = 0.3) -> bytes:
    """A film with a white corner at the top left."""
    pixels = np.full((SIDE, SIDE), int(255 * level), np.uint8)
    pixels[:12, :12] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def at(film, row: int, column: int) -> bool:
    return film.pixels[row, column] == film.pixels.max()


def take(database, films, data) -> int:
    return take_in(database, films, "film.png", data, who="Ada", source="drop").study


def only(database, kind=Film):
    with database.reading() as session:
        return session.scalars(select(kind)).one()


def test_a_refused_film_has_a_picture_a_kind_and_no_number(database, films):
    number = take(database, films, png(0.5))
    engine = checked("first", lambda film: LATERAL)
    assert score_queued(database, films, engine) == 1
    film, row = only(database), study(database, number)
    assert (film.state, film.reason) == (FilmState.REFUSED, LATERAL.refusal)
    assert (film.refused_as, film.refused_by, film.attempts) == ("lateral", engine.bundle.sha256, 0)
    assert films.thumbnail(film.sha256).startswith(b"\xff\xd8")
    assert (row.status, row.analysed, row.reason) == (Status.WAITING, False, LATERAL.refusal)
    assert (row.films[0].width, row.films[0].refused_as) == (SIDE, "lateral")
    assert films.result(film.sha256, engine.bundle.sha256) is None
    with database.reading() as session:
        line = session.scalars(select(AuditLine).where(AuditLine.event == "Film not analysed")).one()
    assert line.detail["kind"] == "lateral"


def test_another_model_is_asked_again_and_again(database, films):
    """Five times: none of them counts as an attempt that ended the program."""
    take(database, films, png(0.5))
    for number in range(5):
        assert score_queued(database, films, checked(f"model {number}", lambda film: LATERAL)) == 1
        assert only(database).refused_as == "lateral"
    last = Brightness("last")
    assert score_queued(database, films, last) == 1
    film, row = only(database), only(database, Study)
    assert (film.state, film.refused_as, film.refused_by) == (FilmState.SCORED, None, None)
    assert (row.model, row.abnormal) == (last.bundle.sha256, pytest.approx(0.5, abs=0.02))
    assert score_queued(database, films, last) == 0


def test_the_same_model_is_not_asked_again(database, films):
    take(database, films, png(0.5))
    engine = checked("first", lambda film: LATERAL)
    score_queued(database, films, engine)
    assert score_queued(database, films, engine) == 0
    assert engine.seen == 1


def test_what_cannot_be_read_is_not_asked_about_again(database, films):
    take(database, films, png(0.5)[:200])
    score_queued(database, films, Brightness("first"))
    assert (only(database).refused_as, only(database).refused_by) == ("unreadable", None)
    assert score_queued(database, films, Brightness("second")) == 0


def test_a_film_that_the_next_model_refuses_has_no_say_any_more(database, films):
    number = take(database, films, png(0.9))
    score_queued(database, films, Brightness("first"))
    assert study(database, number).analysed
    score_queued(database, films, checked("second", lambda film: LATERAL))
    row = study(database, number)
    assert (row.analysed, row.verdict, row.critical, row.findings, row.model) == (False, None, (), (), None)
    with database.reading() as session:
        assert session.scalars(select(Result)).all() == []
    # Whoever goes back to the model before has its number again.
    score_queued(database, films, Brightness("first"))
    assert study(database, number).analysed


def test_warnings_of_the_model_before_go(database, films):
    take(database, films, png(0.5))
    for name in ("first", "second"):
        score_queued(database, films, checked(name, lambda film, name=name: Scope(warnings=(f"Said by {name}.",))))
    assert only(database).warnings == ["Said by second."]


def test_an_inverted_film_is_shown_as_it_was_scored(database, films):
    number = take(database, films, corner())
    score_queued(database, films, checked("first", lambda film: Scope(inverted=at(film, 0, 0))))
    film = study(database, number).films[0]
    assert film.placement == Placement(inverted=True)
    stored = np.asarray(Image.open(io.BytesIO(films.thumbnail(film.sha256))))
    assert stored[2, 2] < 30 < 150 < stored[-3, -3]


def test_a_film_that_was_wrongly_taken_for_inverted_is_scored_as_a_reader_says(database, films):
    number = take(database, films, corner())
    engine = checked("first", lambda film: Scope(inverted=at(film, 0, 0)))
    score_queued(database, films, engine)
    turn_film(database, only(database).id, study(database, number).films[0].placement.then("invert"), "Ada")
    assert score_queued(database, films, engine) == 1
    # Another model asks the reader's opinion, not its own.
    engine = checked("second", lambda film: Scope(inverted=at(film, 0, 0)))
    assert score_queued(database, films, engine) == 1
    film = study(database, number).films[0]
    assert (film.placement, film.placement.grey_said, film.placement.lies_said) == (UNTOUCHED, True, False)
    assert film.warnings == (SEEMS_INVERTED,)
    stored = np.asarray(Image.open(io.BytesIO(films.thumbnail(film.sha256))))
    assert stored[2, 2] > 150
    with database.reading() as session:
        line = session.scalars(select(AuditLine).where(AuditLine.event == "Film turned")).one()
    assert line.detail["grey"] == "as it is" and "lies" not in line.detail


def test_a_turned_film_waits_for_a_reader_and_is_scored_as_he_says(database, films):
    number = take(database, films, corner())
    engine = checked("first", lambda film: Scope(turn=None if at(film, SIDE - 1, 0) else "left"))
    score_queued(database, films, engine)
    film = study(database, number).films[0]
    assert (film.state, film.refused_as, film.seems) == (FilmState.REFUSED, TURNED, "left")
    turn_film(database, film.id, film.placement.then("left"), "Ada")
    assert study(database, number).films[0].state == FilmState.QUEUED
    assert score_queued(database, films, engine) == 1
    film = study(database, number).films[0]
    assert (film.state, film.seems, film.placement.lies_said) == (FilmState.SCORED, None, True)
    assert film.placement == Placement(1)
    stored = np.asarray(Image.open(io.BytesIO(films.thumbnail(film.sha256))))
    assert stored[-3, 2] > 200 > stored[2, 2]
    with database.reading() as session:
        line = session.scalars(select(AuditLine).where(AuditLine.event == "Film turned")).one()
    assert (line.who, line.detail["lies"]) == ("Ada", "left")


def test_a_film_that_lies_as_it_should_is_scored_as_it_is(database, films):
    number = take(database, films, corner())
    engine = checked("first", lambda film: Scope(turn="half"))
    score_queued(database, films, engine)
    turn_film(database, study(database, number).films[0].id, AS_FILED, "Ada")
    score_queued(database, films, engine)
    film = study(database, number).films[0]
    assert (film.state, film.seems, film.placement.lies_said, film.placement) == (
        FilmState.SCORED,
        "half",
        True,
        UNTOUCHED,
    )
    assert "don't trust the verdict" in film.warnings[0]


def test_turning_takes_away_what_was_said_of_the_film_as_it_lay(database, films):
    number = take(database, films, corner())
    engine = Brightness("first")
    score_queued(database, films, engine)
    assert study(database, number).analysed
    turn_film(database, study(database, number).films[0].id, UNTOUCHED.then("half"), "Ada")
    row = study(database, number)
    assert (row.analysed, row.verdict, row.model, row.findings) == (False, None, None, ())
    assert row.films[0].model is None
    score_queued(database, films, engine)
    assert study(database, number).model == engine.bundle.sha256


def test_what_was_being_scored_as_the_film_lay_is_dropped(database, films):
    number = take(database, films, corner())
    engine = Brightness("first")
    with Leases(database, films.root.parent / "scoring") as leases:
        claimed = leases.next(engine.bundle.sha256)
        turn_film(database, claimed.film, UNTOUCHED.then("half"), "Ada")
        with database.writing() as session:
            assert leases.mine(session, claimed) is None
        again = leases.next(engine.bundle.sha256)
        assert (again.film, again.placement.words) == (claimed.film, "half")
    assert study(database, number).films[0].placement == Placement(2)


@pytest.mark.parametrize("says", [lambda film: Scope(), lambda film: LATERAL])
def test_maps_and_thumbnail_of_the_film_as_it_lay_are_not_written_over_those_as_it_lies(database, films, says):
    """One process scores it still, as it lay; it was turned, and another one has scored it meanwhile."""
    take(database, films, corner())
    engine = checked("first", says)
    folder = films.root.parent / "scoring"
    with Leases(database, folder) as slow, Leases(database, folder) as fast:
        before = slow.next(engine.bundle.sha256)
        turn_film(database, before.film, UNTOUCHED.then("half"), "Ada")
        score_film(database, films, fast, fast.next(engine.bundle.sha256), engine)
        kept = films.thumbnail(before.sha256), films.result(before.sha256, engine.bundle.sha256)
        score_film(database, films, slow, before, engine)
        after = films.thumbnail(before.sha256), films.result(before.sha256, engine.bundle.sha256)
    assert after[0] == kept[0]
    assert (after[1] is None) == (kept[1] is None)
    if kept[1] is not None:
        np.testing.assert_array_equal(after[1].prediction.square, kept[1].prediction.square)


def test_two_processes_with_different_models_do_not_take_turns_for_ever(database, films):
    """One model refuses each film; of the other, another one. Each has its say once, and then there is quiet."""
    for seed in range(2):
        take(database, films, png(0.3 + 0.4 * seed, seed))
    bright = checked("bright", lambda film: LATERAL if film.pixels.mean() < 0.5 else Scope())
    refusing = checked("refusing", lambda film: LATERAL)
    folder, count = films.root.parent / "scoring", 0
    with Leases(database, folder) as one, Leases(database, folder) as two:
        for _ in range(10):
            for leases, engine in ((one, bright), (two, refusing)):
                while (claimed := leases.next(engine.bundle.sha256)) is not None:
                    score_film(database, films, leases, claimed, engine)
                    count += 1
                    assert count < 20
        assert one.next(bright.bundle.sha256) is None
        # A model that is promoted is asked of all of them, and so is the one before when it comes back.
        last = checked("last", lambda film: Scope())
        for engine in (last, bright):
            while (claimed := one.next(engine.bundle.sha256)) is not None:
                score_film(database, films, one, claimed, engine)
                count += 1
                assert count < 30
    with database.reading() as session:
        assert len(session.scalars(select(Film).where(Film.state == FilmState.SCORED)).all()) >= 1


def test_a_film_is_not_turned_before_the_eyes_of_who_reads_it(database, films, monkeypatch):
    number, said = take(database, films, corner()), []
    film = study(database, number).films[0].id
    claim(database, number, "Bo")
    with pytest.raises(InReading, match="read by Bo"):
        turn_film(database, film, UNTOUCHED.then("half"), "Ada")
    # So it is where a page is older than the claim.
    monkeypatch.setattr(turn_view.st, "toast", lambda words, icon: said.append(words))
    turn_view._turn(database, film, "Ada", UNTOUCHED.then("half"))
    assert "Not changed. Study 1 is being read by Bo" in said[0]
    assert study(database, number).films[0].placement == UNTOUCHED
    turn_film(database, film, UNTOUCHED.then("half"), "Bo")
    claim(database, number, "Ada", force=True)
    with pytest.raises(InReading, match="read by Ada"):
        turn_film(database, film, AS_FILED, "Bo")
    finish(database, number, "Ada", [film])
    turn_film(database, film, AS_FILED, "Bo")
    assert study(database, number).films[0].placement == UNTOUCHED


def test_a_film_that_is_gone_cannot_be_turned(database):
    with pytest.raises(NoSuchFilm, match="no film 7"):
        turn_film(database, 7, AS_FILED, "Ada")
