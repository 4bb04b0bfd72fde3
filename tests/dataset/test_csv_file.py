"""Files as people make them: encodings, separators, line ends, damage; and what is said of each."""

import csv as stdlib_csv
import gzip
import io
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from handmade_table import HEADER, csv, film_id, label_line, label_lines, many_films, with_cell

from cxr.dataset import csv_file
from cxr.dataset.csv_file import InvalidTable, Problem, read_cells
from cxr.dataset.kaggle import read_labels
from cxr.findings import CATEGORIES

FILE = csv("name,side", "a,left", "b,right")
NOT_TEXT = "It is not text in UTF-8. Save it as “CSV UTF-8”."
NO_LETTERS = "It holds bytes that are not text. Copy it anew, or save it as “CSV UTF-8”."
UNSOUND = "It is not a sound gzip file. Unpack it yourself or copy it anew."
NOT_APART = (
    "It can't be told apart into rows and cells, as when a quotation mark is not closed. Save it anew as “CSV UTF-8”."
)
OTHER_WIDTH = "Give them as many cells as the header has."


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
        FILE.replace(b"\n", b"\r"),
        FILE.replace(b"\n", b"\r").rstrip(b"\r"),
        b"\xef\xbb\xbf" + FILE.replace(b"\n", b"\r") + b"\r\r",
        b'"name","side"\n"a","left"\n"b",right\n',
    ],
    ids=[
        "CRLF",
        "BOM",
        "BOM and CRLF",
        "no last line end",
        "empty lines at the end",
        "CR",
        "CR, no last line end",
        "BOM, CR, empty lines at the end",
        "quoted",
    ],
)
def test_what_spreadsheets_write_is_read_alike(data: bytes) -> None:
    for content, name in ((data, "t.csv"), (gzip.compress(data), "t.csv.gz")):
        cells = read_cells(content, name)
        assert list(cells.frame.columns) == ["name", "side"]
        assert cells.frame.to_numpy().tolist() == [["a", "left"], ["b", "right"]]
        assert cells.frame.index.tolist() == [2, 3]
        assert cells.problems == ()


def test_quotes_keep_commas_and_doubled_quotes_together() -> None:
    cells = read_cells(csv('"a,b",c', '"d,e","f ""g"""'), "t.csv")
    assert list(cells.frame.columns) == ["a,b", "c"]
    assert cells.frame.loc[2].tolist() == ["d,e", 'f "g"']


def test_a_semicolon_in_a_name_separates_nothing() -> None:
    assert list(read_cells(csv("a;b,c", "1,2"), "t.csv").frame.columns) == ["a;b", "c"]


def test_letters_beyond_ascii_are_read() -> None:
    assert read_cells("naïve\nμ\n".encode(), "t.csv").frame.loc[2].tolist() == ["μ"]


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
        (TABLE.decode().encode("utf-16-le"), NO_LETTERS),
        (DAMAGED, NOT_TEXT),
        (DAMAGED.rstrip() + b",0\n", NOT_TEXT),
        (TABLE.replace(b",", b";"), "Its columns are separated by semicolons. Separate them by commas."),
        (TABLE.replace(b",", b"\t"), "Its columns are separated by tabs. Separate them by commas."),
        (b"\t".join([b"name", b"side"]), "Its columns are separated by tabs. Separate them by commas."),
        (np.random.default_rng(0).bytes(5000), NO_LETTERS),
        (np.random.default_rng(0).bytes(5000).replace(b"\0", b""), NOT_TEXT),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", NO_LETTERS),
        (gzip.compress(TABLE), NO_LETTERS),
        (bytes(1000), NO_LETTERS),
        (many_films(1000) + bytes(1), NO_LETTERS),
    ],
    ids=[
        "UTF-16",
        "UTF-16 BE",
        "UTF-16 without a mark",
        "Latin-1",
        "Latin-1 in a long row",
        "semicolons",
        "tabs",
        "tabs in a header alone",
        "noise",
        "noise without zeros",
        "an image",
        "gzip under another name",
        "zeros that a download left",
        "a zero at the end",
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
    assert sentences(data, "films.csv.gz") == [UNSOUND]


@pytest.mark.parametrize("place", [12, 20, 40])
def test_a_gzip_file_with_a_flipped_byte_is_refused_in_one_sentence(place: int) -> None:
    data = bytearray(gzip.compress(TABLE))
    data[place] ^= 0xFF
    assert sentences(bytes(data), "films.csv.gz") == [UNSOUND]


def test_a_gzip_file_of_several_parts_is_read_whole_or_refused() -> None:
    parts = gzip.compress(csv(HEADER, *label_lines(10))) + gzip.compress(csv(*label_lines(20)[10:]))
    assert gzip.decompress(parts) == TABLE
    try:
        assert len(read_labels(parts, "films.csv.gz")) == 20
    except InvalidTable as refused:
        assert len(refused.problems) == 1


def test_a_gzip_file_may_hold_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(TABLE)
    monkeypatch.setattr(csv_file, "MOST_BYTES", len(TABLE))
    assert len(read_labels(packed, "films.csv.gz")) == 20
    monkeypatch.setattr(csv_file, "MOST_BYTES", len(TABLE) - 1)
    expected = f"It holds more than {len(TABLE) - 1:,} bytes when unpacked. Choose a table with a row for each film."
    assert sentences(packed, "films.csv.gz") == [expected]
    assert len(read_labels(TABLE, "films.csv")) == 20


def test_a_gzip_bomb_is_refused_without_unpacking_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MOST_BYTES", 1_000_000)
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join([packer.compress(b"0," * 500_000) for _ in range(60)]) + packer.flush()
    assert len(bomb) < 200_000
    tracemalloc.start()
    start = time.process_time()
    try:
        told = sentences(bomb, "films.csv.gz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 1
    assert peak < 5_000_000
    assert told == ["It holds more than 1,000,000 bytes when unpacked. Choose a table with a row for each film."]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_empty_lines_above_the_header_are_passed_over_and_counted(end: str) -> None:
    cells = read_cells(end.join(["", "", "name,side", "a,left", "b", "", "c,right", ""]).encode(), "t.csv")
    assert list(cells.frame.columns) == ["name", "side"]
    assert cells.frame["side"].to_dict() == {4: "left", 7: "right"}
    assert [str(problem) for problem in cells.problems] == [
        f"Not all rows have 2 cells (row 5). {OTHER_WIDTH}",
        "There are empty rows (row 6). Remove them.",
    ]
    assert len(read_labels(end.encode() + TABLE.replace(b"\n", end.encode()), "films.csv")) == 20


def test_empty_rows_in_the_middle_are_one_problem() -> None:
    first, second, third = label_lines(3)
    (problem,) = refusal(csv(HEADER, first, "", second, "," * 15, third)).problems
    assert str(problem) == "There are empty rows (rows 3, 5). Remove them."
    assert list(problem.rows) == [3, 5]
    almost = read_cells(csv("a,b,c", ",,1", ",,", "1,,"), "t.csv")
    assert almost.frame.to_numpy().tolist() == [["", "", "1"], ["1", "", ""]]


def test_rows_behind_an_empty_line_keep_their_numbers() -> None:
    first, second, third = label_lines(3)
    refused = refusal(csv(HEADER, first, "", second, with_cell(third, "Mass", "2")))
    assert {row for problem in refused.problems for row in problem.rows} == {3, 5}


def test_only_where_nothing_stands_below_the_header_it_is_said() -> None:
    assert sentences(csv(HEADER, *(f"{line}," for line in label_lines(3)))) == [
        f"Not all rows have 16 cells (rows 2, 3, 4). {OTHER_WIDTH}"
    ]
    assert sentences(csv(HEADER, "," * 15)) == ["There are empty rows (row 2). Remove them."]


@pytest.fixture
def open_quote() -> bytes:
    """A quotation mark at the start of line 101 is not closed; what it swallows is more than a block of Arrow's."""
    lines = many_films(60_000).splitlines()
    lines[100] = b'"' + lines[100]
    return b"\n".join(lines)


def test_a_quotation_mark_that_is_not_closed_is_refused(open_quote: bytes) -> None:
    assert sentences(open_quote) == [NOT_APART]
    first, second, third = label_lines(3)
    assert sentences(csv(HEADER, first, f'"{second}', third)) == [NOT_APART]


@pytest.mark.parametrize("header", ['"name,side', 'name,"side', '"'])
def test_a_quotation_mark_that_is_not_closed_in_the_header_is_refused(header: str) -> None:
    with pytest.raises(InvalidTable):
        read_labels(csv(header, "a,left", "b,right"), "t.csv")


@pytest.mark.parametrize("line", [100, 20], ids=["the last line", "all lines below"])
def test_a_last_cell_with_a_quotation_mark_that_is_not_closed_is_refused(line: int) -> None:
    lines = [f"{k},0" for k in range(line)] + [f'{line},"0'] + [f"{k},0" for k in range(line, 100)]
    with pytest.raises(InvalidTable):
        read_cells(csv("name,side", *lines), "t.csv")


def quoted(rows: list[list[str]]) -> tuple[bytes, list[int]]:
    """As the standard library writes them, and the line on which each begins."""
    text, starts = io.StringIO(), []
    writer = stdlib_csv.writer(text, quoting=stdlib_csv.QUOTE_MINIMAL, lineterminator="\n")
    for row in rows:
        starts.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    return text.getvalue().encode(), starts


@pytest.mark.parametrize("above", [0, 3])
@pytest.mark.parametrize("seed", range(4))
def test_rows_are_numbered_by_lines_behind_cells_of_several_lines(seed: int, above: int) -> None:
    rng = np.random.default_rng(seed)
    words = ["a", "b c", "d\ne", "\n", "f\n\ng\n", "h,i", 'j"k', "", "μ"]
    widths = rng.choice([2, 3, 4], 120, p=[0.05, 0.9, 0.05])
    rows = [["r", *(str(word) for word in rng.choice(words, width - 1))] for width in widths]
    empty = rng.random(120) < 0.05
    rows = [["", "", ""] if nothing else row for nothing, row in zip(empty, rows, strict=True)]
    data, starts = quoted([["x", "y", "z"], *rows])
    lines = [start + above for start in starts[1:]]
    cells = read_cells(b"\n" * above + data, "t.csv")
    given = dict(zip(lines, rows, strict=True))
    read = {line: list(row) for line, *row in cells.frame.itertuples(name=None)}
    assert read == {line: row for line, row in given.items() if len(row) == 3 and any(row)}
    width, nothing = cells.problems
    assert list(width.rows) == [line for line, row in given.items() if len(row) != 3]
    assert list(nothing.rows) == [line for line, row in given.items() if not any(row)]


def test_cells_of_several_lines_are_kept_together_in_a_long_file() -> None:
    cell = "\n".join("a" * 60)
    cells = read_cells(csv("name,side", *[f'"{cell}",left'] * 30_000), "t.csv")
    assert cells.frame.index.tolist() == list(range(2, 1_800_002, 60))
    assert (cells.frame["name"].unique().tolist(), cells.problems) == ([cell], ())


def test_quoted_cells_with_the_doubled_line_ends_of_windows_are_no_crash() -> None:
    try:
        assert len(read_cells(b'"name","side"\r\r\n"a","left"\r\r\n"b","right"\r\r\n', "t.csv").frame) == 2
    except InvalidTable as refused:
        assert len(refused.problems) == 1


def test_a_table_of_something_else_is_refused_in_few_words() -> None:
    pixels = csv(",".join(f"pixel{k}{'x' * 90}" for k in range(500)), ",".join(["0"] * 500))
    missing, unknown = sentences(pixels)
    shown = ", ".join(f"“{f'pixel{k}{90 * chr(120)}'[:40]}”" for k in range(15))
    assert missing.endswith("“Nodule”, “Mass” and 1 more. Add them.")
    assert unknown == f"Columns that do not belong here: {shown} and 485 more. Remove or rename them."


def test_a_problem_says_where_and_names_the_first_five_rows() -> None:
    def told(rows: range) -> str:
        return str(Problem("It is so", "Change it.", rows))

    assert told(range(0)) == "It is so. Change it."
    assert told(range(3, 4)) == "It is so (row 3). Change it."
    assert told(range(3, 5)) == "It is so (rows 3, 4). Change it."
    assert told(range(3, 8)) == "It is so (rows 3, 4, 5, 6, 7). Change it."
    assert told(range(3, 9)) == "It is so (rows 3, 4, 5, 6, 7 and 1 more). Change it."
    assert told(range(999, 9999)) == "It is so (rows 999, 1,000, 1,001, 1,002, 1,003 and 8,995 more). Change it."


def test_a_problem_reads_as_its_docstring_says() -> None:
    problem = Problem("“Mass” holds “2”, neither 0 nor 1", "Put 0 or 1.", (3, 9, 14))
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
