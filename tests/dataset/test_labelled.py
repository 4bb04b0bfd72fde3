"""Folders of labelled films, made on the spot."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade_shards import film_fields, flipped, jpeg, write_shard

from cxr.dataset import labelled
from cxr.dataset.labelled import (
    LabelledFilms,
    UnusableDataset,
    load_films,
    load_labelled_films,
    metadata_file,
    open_folder,
    read_metadata,
)
from cxr.dataset.shards import read_records
from cxr.findings import CATEGORIES
from cxr.radiograph import Radiograph, model_input, read_radiograph

SIZE = 32
IDS = ["00000012_000.png", "00000003_001.png", "00000003_000.png"]
POSITIVE = [("No Finding",), ("Mass", "Nodule"), ("Hernia",)]


def film(seed: int) -> bytes:
    """A film of another size than the model's, and not square."""
    rng = np.random.default_rng(seed)
    return jpeg(np.kron(rng.integers(0, 256, (7, 9)), np.ones((10, 8))).astype(np.uint8))


FILMS = [film(seed) for seed in range(len(IDS))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three films of two patients in two shards; decoded in batches of two."""
    monkeypatch.setattr(labelled, "DECODE_BATCH", 2)
    folder = tmp_path / "films"
    (folder / "data").mkdir(parents=True)
    fields = [film_fields(*film) for film in zip(IDS, FILMS, POSITIVE, strict=True)]
    write_shard(folder / "data" / "000-002.tfrec", *fields[:2])
    write_shard(folder / "data" / "001-001.tfrec", fields[2])
    return folder


def load(folder: Path, size: int = SIZE) -> LabelledFilms:
    return load_labelled_films(folder, size, folder.parent / "cache")


def refusal(folder: Path) -> str:
    """Why a folder is refused, checked to be one sentence."""
    with pytest.raises(UnusableDataset) as raised:
        load(folder)
    message = str(raised.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_labels_and_ids_are_those_of_the_shards(folder: Path) -> None:
    films = load(folder)
    assert list(films.metadata.index) == IDS
    assert [tuple(CATEGORIES[k] for k in np.flatnonzero(row)) for row in films.labels] == [
        ("No Finding",),
        ("Nodule", "Mass"),
        ("Hernia",),
    ]
    assert films.abnormal.tolist() == [0, 1, 1]


def test_pixels_are_what_serving_would_use_to_half_a_grey_level(folder: Path) -> None:
    pixels = load(folder).pixels
    assert (pixels.dtype, pixels.shape) == (np.uint8, (3, SIZE, SIZE))
    for row, image in zip(pixels, FILMS, strict=True):
        np.testing.assert_allclose(row, model_input(read_radiograph(image), SIZE), rtol=0, atol=0.5)


def test_real_pixels_are_what_serving_would_use(shared_data: Path, tmp_path: Path) -> None:
    shard = shared_data / "nih" / "data" / "009-066.tfrec"
    (tmp_path / shard.name).symlink_to(shard)
    films = load_labelled_films(tmp_path, 64, tmp_path / "cache")
    assert len(films.pixels) == 66
    record = list(read_records(shard))[65]
    np.testing.assert_allclose(films.pixels[65], model_input(read_radiograph(record.image), 64), rtol=0, atol=0.5)


def test_a_subset_keeps_rows_together(folder: Path) -> None:
    films = load(folder)
    part = films.subset(np.array([False, True, True]))
    np.testing.assert_array_equal(part.pixels, films.pixels[1:])
    np.testing.assert_array_equal(part.labels, films.labels[1:])
    assert list(part.metadata.index) == IDS[1:]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every film that is decoded from now on."""
    seen: list[bytes] = []

    def read(data: bytes) -> Radiograph:
        seen.append(data)
        return read_radiograph(data)

    monkeypatch.setattr(labelled, "read_radiograph", read)
    return seen


def test_a_second_run_decodes_nothing(folder: Path, decoded: list[bytes]) -> None:
    first = load(folder)
    assert sorted(decoded) == sorted(FILMS)
    second = load(folder)
    assert len(decoded) == 3
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.labels, second.labels)
    pd.testing.assert_frame_equal(first.metadata, second.metadata)


def test_a_changed_shard_is_decoded_anew(folder: Path) -> None:
    before = load(folder)
    write_shard(folder / "data" / "001-001.tfrec", film_fields(IDS[2], film(99), ("Edema",)))
    after = load(folder)
    np.testing.assert_array_equal(before.pixels[:2], after.pixels[:2])
    assert (before.pixels[2] != after.pixels[2]).any()
    assert np.flatnonzero(after.labels[2]) == [CATEGORIES.index("Edema")]


def test_another_size_is_decoded_anew(folder: Path) -> None:
    assert load(folder, 32).pixels.shape == (3, 32, 32)
    assert load(folder, 40).pixels.shape == (3, 40, 40)


def test_a_run_that_was_cut_off_leaves_no_half_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(data: bytes) -> Radiograph:
        if data == FILMS[2]:
            raise KeyboardInterrupt
        return read_radiograph(data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(labelled, "read_radiograph", interrupted)
        load(folder)
    np.testing.assert_allclose(load(folder).pixels[2], model_input(read_radiograph(FILMS[2]), SIZE), rtol=0, atol=0.5)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"There are no .tfrec files in {tmp_path}."


def test_a_film_that_occurs_twice_is_refused(folder: Path) -> None:
    write_shard(folder / "002-001.tfrec", film_fields(IDS[0], FILMS[0]))
    assert refusal(folder) == "1 films occur more than once in the shards."


@pytest.mark.parametrize("positive", [("No Finding", "Mass"), ()])
def test_contradictory_labels_are_refused_each_time(folder: Path, positive: tuple[str, ...]) -> None:
    write_shard(folder / "002-001.tfrec", film_fields("00000099_000.png", FILMS[0], positive))
    for _ in range(2):
        assert refusal(folder) == "1 films carry both “No Finding” and a finding, or neither."


def test_a_damaged_shard_is_refused_by_name(folder: Path) -> None:
    (folder / "002-001.tfrec").write_bytes(b"not a shard")
    assert refusal(folder).startswith("002-001.tfrec, offset 0: ")


def test_a_film_whose_checksum_is_wrong_is_refused_by_place(folder: Path) -> None:
    shard = folder / "data" / "001-001.tfrec"
    shard.write_bytes(flipped(shard.read_bytes(), 8 * 400))
    assert refusal(folder) == "001-001.tfrec, offset 0: its checksum is wrong: the record is damaged."


def test_some_films_are_decoded_and_no_others(folder: Path, decoded: list[bytes]) -> None:
    cache = folder.parent / "cache"
    known = open_folder(folder, cache)
    assert decoded == []
    films = load_films(known, np.array([0, 2]), SIZE, cache)
    assert sorted(decoded) == sorted([FILMS[0], FILMS[2]])
    assert list(films.metadata.index) == [IDS[0], IDS[2]]
    np.testing.assert_array_equal(films.labels, known.labels[[0, 2]])
    whole = load(folder)
    np.testing.assert_array_equal(films.pixels, whole.pixels[[0, 2]])
    np.testing.assert_array_equal(load_films(known, np.array([1]), SIZE, cache).pixels, whole.pixels[[1]])


def test_no_films_are_no_trouble(folder: Path) -> None:
    known = open_folder(folder, folder.parent / "cache")
    assert load_films(known, np.array([], int), SIZE, folder.parent / "cache").pixels.shape == (0, SIZE, SIZE)


@pytest.mark.parametrize("image", [b"", b"no film", FILMS[0][:300]])
def test_a_film_that_cant_be_decoded_is_refused_by_name(folder: Path, image: bytes) -> None:
    write_shard(folder / "002-001.tfrec", film_fields("00000099_000.png", image))
    assert refusal(folder).startswith("Film 00000099_000.png: ")


def test_without_a_table_the_patient_is_in_the_film_s_name(folder: Path) -> None:
    metadata = load(folder).metadata
    assert metadata["patient"].tolist() == [12, 3, 3]
    assert metadata[["view", "sex", "source"]].eq("unknown").all(axis=None)
    assert metadata["age"].isna().all()


def test_the_folder_s_own_index_describes_its_films(folder: Path) -> None:
    (folder / "images_index.csv").write_text(
        "nih_image_index,patient,view,age,sex,source,labels\n"
        f"{IDS[2]},103,PA,41,F,clinic,Hernia\n{IDS[0]},112,AP,60,M,clinic,No Finding\n{IDS[1]},103,PA,42,F,ward,Mass\n"
    )
    expected = pd.DataFrame(
        {
            "patient": [112, 103, 103],
            "view": ["AP", "PA", "PA"],
            "age": [60.0, 42.0, 41.0],
            "sex": ["M", "F", "F"],
            "source": ["clinic", "ward", "clinic"],
        },
        index=pd.Index(IDS, name="image_id"),
    )
    pd.testing.assert_frame_equal(load(folder).metadata, expected, check_dtype=False)


NIH_TABLE = f"""Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position
{IDS[0]},No Finding,0,12,058Y,M,PA
{IDS[1]},Mass|Nodule,1,3,013M,F,AP
"""


def test_nih_s_first_table_has_ages_in_words(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(NIH_TABLE)
    metadata = read_metadata(metadata_file(tmp_path), IDS[:2])
    assert metadata["view"].tolist() == ["PA", "AP"]
    assert metadata["sex"].tolist() == ["M", "F"]
    assert metadata["source"].tolist() == ["unknown", "unknown"]
    np.testing.assert_array_equal(metadata["age"], [58, 13 / 12])


def test_a_film_that_nih_s_packed_table_lacks_is_unknown_but_keeps_its_patient(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017_v2020.csv.gz").write_bytes(gzip.compress(NIH_TABLE.encode()))
    metadata = read_metadata(metadata_file(tmp_path), IDS)
    assert metadata["patient"].tolist() == [12, 3, 3]
    assert metadata["view"].tolist() == ["PA", "AP", "unknown"]


def test_the_folder_s_own_index_wins_over_nih_s(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(NIH_TABLE)
    (tmp_path / "images_index.csv").write_text(f"image_id,view\n{IDS[0]},LATERAL\n")
    assert read_metadata(metadata_file(tmp_path), IDS[:2])["view"].tolist() == ["LATERAL", "unknown"]


def test_a_table_without_film_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images_index.csv").write_text("film,patient\na,1\n")
    with pytest.raises(UnusableDataset, match=r"images_index\.csv has no column “Image Index”\."):
        read_metadata(metadata_file(tmp_path), IDS)


def test_a_film_without_a_patient_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableDataset, match=r"^1 films have no patient id that is a number\.$"):
        read_metadata(metadata_file(tmp_path), [*IDS, "scan.png"])
    (tmp_path / "images_index.csv").write_text(f"image_id,patient\n{IDS[0]},P12\n{IDS[1]},P3\n")
    with pytest.raises(UnusableDataset, match=r"^2 films have no patient id that is a number\.$"):
        read_metadata(metadata_file(tmp_path), IDS)


def test_the_real_index_agrees_with_nih_s_own_table(shared_data: Path, tmp_path: Path) -> None:
    table = "Data_Entry_2017_v2020.csv.gz"
    (tmp_path / table).symlink_to(shared_data / "nih" / table)
    ids = pd.read_csv(shared_data / "nih" / "images_index.csv")["nih_image_index"].tolist()
    columns = ["patient", "view", "age", "sex"]
    own, nih = (read_metadata(metadata_file(folder), ids)[columns] for folder in (shared_data / "nih", tmp_path))
    pd.testing.assert_frame_equal(own, nih)
