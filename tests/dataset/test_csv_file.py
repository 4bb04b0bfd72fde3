"""Files as people make them: encodings, separators, line ends, damage; and what is said of each."""

import gzip
import time

import numpy as np
import pytest
from handmade_table import HEADER, csv, film_id, label_line, label_lines, many_films, with_cell

from cxr.dataset import csv_file
from cxr.dataset.csv_file import InvalidTable, Problem, read_cells
from cxr.dataset.kaggle import read_labels
from cxr.findings import CATEGORIES

FILE = csv("name,side", "a,left", "b,right")
NOT_TEXT = "It is not a text table in UTF-8. Save it as “CSV UTF-8”."


def refusal(data: bytes, name: str = "films.csv") -> InvalidTable:
    with pytest.raises(InvalidTable) as refused:
        read_labels(data, name)
    return refused.value


def sentences(data: bytes, name: str = "films.csv") -> list[str]:
    return [str(problem) for problem in refusal(data, name).problems]


def test_cells_are_text_under_the_names_of_the_header_and_have_the_numbers_of_their_lines() -> None:
    cells = read_cells(csv("name,,side", "a,001,", "NA,null,1.0"), "t.csv")
    assert list(cells.frame.columns) == ["name", "", "side"]
    assert cells.frame.to_numpy().tolist() == [["a", "001", ""], ["NA", "null", "1.0"]]
    assert cells.frame.index.tolist() == [2, 3]
    assert cells.problems == ()


@pytest.mark.parametrize(
    "data",
    [
        FILE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + FILE,
        b"\xef\xbb\xbf" + FILE.replace(b"\n", b"\r\n"),
        FILE.rstrip(b"\n"),
        FILE + b"\n\r\n\n",
        b'"name","side"\n"a","left"\n"b",right\n',
    ],
    ids=["CRLF", "BOM", "BOM and CRLF", "no last line end", "empty lines at the end", "quoted"],
)
def test_what_spreadsheets_write_is_read_alike(data: bytes) -> None:
    for content, name in ((data, "t.csv"), (gzip.compress(data), "t.csv.gz")):
        cells = read_cells(content, name)
        assert list(cells.frame.columns) == ["name", "side"]
        assert cells.frame.to_numpy().tolist() == [["a", "left"], ["b", "right"]]
        assert cells.problems == ()


def test_quotes_keep_commas_and_doubled_quotes_together() -> None:
    cells = read_cells(csv('"a,b",c', '"d,e","f ""g"""'), "t.csv")
    assert list(cells.frame.columns) == ["a,b", "c"]
    assert cells.frame.loc[2].tolist() == ["d,e", 'f "g"']


def test_a_semicolon_in_a_name_separates_nothing() -> None:
    assert list(read_cells(csv("a;b,c", "1,2"), "t.csv").frame.columns) == ["a;b", "c"]


def test_letters_beyond_ascii_are_read() -> None:
    assert read_cells("naïve\nμ\n".encode(), "t.csv").frame.loc[2].tolist() == ["μ"]


def test_the_leftmost_columns_are_kept_on_demand() -> None:
    assert list(read_cells(csv("a,b,c", "1,2,3"), "t.csv", columns=2).frame.columns) == ["a", "b"]


def test_a_header_alone_has_columns_and_no_rows() -> None:
    frame = read_cells(b"a,b\n", "t.csv").frame
    assert (list(frame.columns), len(frame)) == (["a", "b"], 0)


def test_short_and_long_rows_are_told_of_and_left_out() -> None:
    cells = read_cells(csv("a,b,c", "1,2,3", "4,5", "6,7,8", "9,10,11,12", "13", "14,15,16"), "t.csv")
    (problem,) = cells.problems
    assert str(problem) == "Not all rows have 3 cells (rows 3, 5, 6). Give them as many cells as the header has."
    assert list(problem.rows) == [3, 5, 6]
    assert cells.frame.index.tolist() == [2, 4, 7]
    assert cells.frame["b"].tolist() == ["2", "7", "15"]


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_another_width_are_found_wherever_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.choice([1, 2, 3, 4, 5], 400, p=[0.02, 0.02, 0.92, 0.02, 0.02])
    cells = read_cells(csv("a,b,c", *(",".join([f"r{k}"] * w) for k, w in enumerate(widths))), "t.csv")
    good = np.flatnonzero(widths == 3)
    assert [list(problem.rows) for problem in cells.problems] == [(np.flatnonzero(widths != 3) + 2).tolist()]
    assert cells.frame["c"].to_dict() == {k + 2: f"r{k}" for k in good}


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\n\n\r\n\n", b"  \n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"],
    ids=["nothing", "a newline", "newlines", "blanks", "a BOM", "a BOM and a newline"],
)
def test_a_file_of_nothing_is_empty(data: bytes) -> None:
    for content, name in ((data, "films.csv"), (gzip.compress(data), "films.csv.gz")):
        assert sentences(content, name) == ["It is empty. Choose the file that holds the table."]


@pytest.mark.parametrize("data", [HEADER.encode(), HEADER.encode() + b"\r\n\r\n"], ids=["header", "and empty lines"])
def test_a_file_of_a_header_has_no_rows(data: bytes) -> None:
    assert sentences(data) == ["It has no rows below the header. Choose the file that holds the table."]


TABLE = csv(HEADER, *label_lines(20))
DAMAGED = TABLE + with_cell(label_line(film_id(99)), "", "Müller").encode("latin-1") + b"\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (TABLE.decode().encode("utf-16"), "It is text in UTF-16. Save it as “CSV UTF-8”."),
        (b"\xfe\xff" + TABLE.decode().encode("utf-16-be"), "It is text in UTF-16. Save it as “CSV UTF-8”."),
        (DAMAGED, NOT_TEXT),
        (DAMAGED.rstrip() + b",0\n", NOT_TEXT),
        (TABLE.replace(b",", b";"), "Its columns are separated by semicolons. Separate them by commas."),
        (np.random.default_rng(0).bytes(5000), NOT_TEXT),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", NOT_TEXT),
        (gzip.compress(TABLE), NOT_TEXT),
    ],
    ids=[
        "UTF-16",
        "UTF-16 BE",
        "Latin-1",
        "Latin-1 in a long row",
        "semicolons",
        "noise",
        "an image",
        "gzip under another name",
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(data: bytes, expected: str) -> None:
    assert sentences(data) == [expected]


@pytest.mark.parametrize(
    "data",
    [b"hello", TABLE, gzip.compress(TABLE)[:-20], gzip.compress(TABLE)[:5], gzip.compress(TABLE)[:-8] + bytes(8)],
    ids=["a word", "not packed", "cut off", "cut off early", "another checksum"],
)
def test_a_broken_gzip_file_is_refused_in_one_sentence(data: bytes) -> None:
    assert sentences(data, "films.csv.gz") == ["It is not a gzip file. Unpack it yourself or copy it anew."]


@pytest.mark.xfail(strict=True, reason="zlib.error, which is neither an OSError nor an EOFError, is not caught")
@pytest.mark.parametrize("place", [12, 20, 40])
def test_a_gzip_file_with_a_flipped_byte_is_refused_in_one_sentence(place: int) -> None:
    data = bytearray(gzip.compress(TABLE))
    data[place] ^= 0xFF
    assert sentences(bytes(data), "films.csv.gz") == ["It is not a gzip file. Unpack it yourself or copy it anew."]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.xfail(strict=True, reason="LF: said not to be UTF-8; CRLF: ValueError, length mismatch")
def test_an_empty_first_line_is_told_of_or_passed_over(end: bytes) -> None:
    try:
        read_labels(end + TABLE.replace(b"\n", end), "films.csv")
    except InvalidTable as refused:
        assert "UTF-8" not in str(refused)
        assert len(refused.problems) == 1


@pytest.mark.xfail(strict=True, reason="the empty line is taken for cells that are all empty: 16 sentences")
def test_an_empty_line_in_the_middle_is_one_problem() -> None:
    first, second, third = label_lines(3)
    (problem,) = refusal(csv(HEADER, first, "", second, third)).problems
    assert list(problem.rows) == [3]


def test_rows_behind_an_empty_line_keep_their_numbers() -> None:
    first, second, third = label_lines(3)
    refused = refusal(csv(HEADER, first, "", second, with_cell(third, "Mass", "2")))
    assert {row for problem in refused.problems for row in problem.rows} == {3, 5}


@pytest.mark.xfail(strict=True, reason="rows of another width are left out, and then there seem to be none")
def test_rows_that_are_all_of_another_width_are_not_said_to_be_none() -> None:
    assert sentences(csv(HEADER, *(f"{line}," for line in label_lines(3)))) == [
        "Not all rows have 16 cells (rows 2, 3, 4). Give them as many cells as the header has."
    ]


@pytest.fixture
def open_quote() -> bytes:
    """A quotation mark at the start of line 101 is not closed; what it swallows is more than a block of Arrow's."""
    lines = many_films(60_000).splitlines()
    lines[100] = b'"' + lines[100]
    return b"\n".join(lines)


def test_a_quotation_mark_that_is_not_closed_is_refused(open_quote: bytes) -> None:
    assert len(sentences(open_quote)) == 1
    first, second, third = label_lines(3)
    assert sentences(csv(HEADER, first, f'"{second}', third)) == [
        "Not all rows have 16 cells (row 3). Give them as many cells as the header has."
    ]


@pytest.mark.xfail(strict=True, reason="Arrow's error, that a row spans its blocks of 1 MB, is said to be about UTF-8")
def test_a_quotation_mark_that_is_not_closed_is_not_said_to_be_about_utf_8(open_quote: bytes) -> None:
    assert "UTF-8" not in sentences(open_quote)[0]


@pytest.mark.xfail(strict=True, reason="a record counts as one line however many it spans")
def test_rows_are_numbered_by_lines_behind_a_cell_of_two_lines() -> None:
    data = csv("name,side", '"a\nb",left', "c")
    assert [list(problem.rows) for problem in read_cells(data, "t.csv").problems] == [[4]]


@pytest.mark.xfail(strict=True, reason="a header's names are listed all and whole, and compared in quadratic time")
def test_a_table_of_something_else_is_refused_in_few_words() -> None:
    pixels = csv(",".join(f"pixel{k}" for k in range(500)), ",".join(["0"] * 500))
    assert len(str(refusal(pixels))) < 2000


@pytest.mark.xfail(strict=True, reason="bytes of zero are text in UTF-8, and are shown as they are")
def test_zeros_that_a_download_left_are_not_shown_in_a_sentence() -> None:
    assert "\0" not in str(refusal(bytes(1000)))


def test_a_problem_says_where_and_names_the_first_five_rows() -> None:
    def told(rows: range) -> str:
        return str(Problem("It is so", "Change it.", rows))

    assert told(range(0)) == "It is so. Change it."
    assert told(range(3, 4)) == "It is so (row 3). Change it."
    assert told(range(3, 5)) == "It is so (rows 3, 4). Change it."
    assert told(range(3, 8)) == "It is so (rows 3, 4, 5, 6, 7). Change it."
    assert told(range(3, 9)) == "It is so (rows 3, 4, 5, 6, 7 and 1 more). Change it."
    assert told(range(999, 9999)) == "It is so (rows 999, 1,000, 1,001, 1,002, 1,003 and 8,995 more). Change it."


@pytest.mark.xfail(strict=True, reason="the docstring of Problem.__str__ has “and” before the last, the code a comma")
def test_a_problem_reads_as_its_docstring_says() -> None:
    problem = Problem("“Mass” holds “2”, which is neither 0 nor 1", "Put 0 or 1.", (3, 9, 14))
    assert str(problem) in (Problem.__str__.__doc__ or "")


def test_a_refusal_names_the_file_and_everything_that_is_wrong() -> None:
    refused = InvalidTable("films.csv", [Problem("It is so", "Change it.", (3,)), Problem("And so", "Leave it.")])
    assert str(refused) == "films.csv can't be used: It is so (row 3). Change it. And so. Leave it."
    assert refused.name == "films.csv"
    assert [problem.what for problem in refused.problems] == ["It is so", "And so"]


def test_a_table_of_more_rows_than_are_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_ROWS", 1000)
    assert len(read_labels(many_films(1000), "films.csv")) == 1000
    expected = ["It has 1,001 rows, and at most 1,000 are read. Choose a table with a row for each film."]
    assert sentences(many_films(1001)) == expected
    assert sentences(gzip.compress(many_films(1001)), "films.csv.gz") == expected


def test_ten_times_the_release_is_read() -> None:
    labels = read_labels(many_films(1_121_200), "films.csv")
    assert labels.shape == (1_121_200, 15)
    assert labels.sum().tolist() == [1_121_200] + [0] * 14
    assert labels.index[[0, 1, -1]].tolist() == ["00000000_000.png", "00000000_001.png", "00001121_199.png"]


def test_ten_times_the_release_with_nothing_right_is_refused_soon_and_in_short() -> None:
    data = many_films(1_121_200, label="2")
    start = time.process_time()
    refused = refusal(data)
    assert time.process_time() - start < 20
    assert [str(problem) for problem in refused.problems] == [
        f"“{name}” holds “2”, neither 0 nor 1 (rows 2, 3, 4, 5, 6 and 1,121,195 more). Put 0 or 1."
        for name in CATEGORIES
    ]
    assert refused.problems[-1].rows[-1] == 1_121_201


def test_rows_are_numbered_right_far_down() -> None:
    lines = many_films(60_000).splitlines()
    lines[25_000] += b",0"
    lines[45_000] = lines[45_000][:-1] + b"7"
    lines[55_000] = lines[55_000][:-2]
    width, label = refusal(b"\n".join(lines)).problems
    assert (list(width.rows), list(label.rows)) == ([25_001, 55_001], [45_001])
