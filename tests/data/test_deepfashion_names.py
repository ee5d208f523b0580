"""Names, split lists and pair lists of DeepFashion."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcld.data.deepfashion import (
    ImageName,
    ListedPair,
    check_names,
    parse_name,
    read_pair_list,
    read_split_list,
)
from mcld.errors import DataError

NAME = ImageName(gender="WOMEN", category="Blouses_Shirts", identity="00000692", variant="02", view="3_back")

names = st.builds(
    ImageName,
    gender=st.sampled_from(["MEN", "WOMEN"]),
    category=st.sampled_from(["Denim", "Blouses_Shirts", "Tees_Tanks", "Graphic_Tees", "Suiting"]),
    identity=st.integers(0, 99_999_999).map("{:08d}".format),
    variant=st.integers(0, 99).map("{:02d}".format),
    view=st.sampled_from(["1_front", "2_side", "3_back", "4_full", "6_flat", "7_additional"]),
)


@pytest.mark.parametrize(
    "spelling",
    [
        "fashionWOMENBlouses_Shirtsid0000069202_3back.jpg",
        "fashionWOMENBlouses_Shirtsid0000069202_3back",
        "fashionWOMENBlouses_Shirtsid0000069202_3back.npy",
        "img_highres/WOMEN/Blouses_Shirts/id_00000692/02_3_back.jpg",
        "WOMEN/Blouses_Shirts/id_00000692/02_3_back.jpg",
        "img/WOMEN/Blouses_Shirts/id_00000692/02_3_back.jpg",
        "WOMEN-Blouses_Shirts-id_00000692-02/3_back",
        "WOMEN-Blouses_Shirts-id_00000692-02_3_back.jpg",
    ],
)
def test_every_spelling_is_the_same_image(spelling: str) -> None:
    assert parse_name(spelling) == NAME


def test_known_name_spells_as_published() -> None:
    assert NAME.flat == "fashionWOMENBlouses_Shirtsid0000069202_3back"
    assert NAME.path == "img_highres/WOMEN/Blouses_Shirts/id_00000692/02_3_back.jpg"
    assert NAME.outfit_key == "WOMEN-Blouses_Shirts-id_00000692-02"


@given(names)
def test_spelling_then_parsing_is_the_identity(name: ImageName) -> None:
    assert parse_name(name.flat) == parse_name(name.path) == parse_name(name.key) == name


@given(st.text(max_size=60))
def test_any_other_text_is_a_data_error(text: str) -> None:
    try:
        parse_name(text)
    except DataError as error:
        assert "expected" in str(error)


def test_real_lists_give_1000_outfits_and_8570_pairs_of_one_outfit_each() -> None:
    from tests.golden import golden_dir

    root_dir = golden_dir("deepfashion")
    listed = read_split_list(root_dir / "test.lst")
    check_names(("test", name) for name in listed)
    pairs = read_pair_list(root_dir / "test.csv")
    assert (len(listed), len({name.outfit_key for name in listed}), len(pairs)) == (4038, 1000, 8570)
    assert {f"{name.flat}.jpg" for name in listed} == set((root_dir / "test.lst").read_text().split())
    keys = {name.key for name in listed}
    assert all({pair.source, pair.target} <= keys for pair in pairs)
    assert all(pair.source.split("/")[0] == pair.target.split("/")[0] for pair in pairs)


def test_bad_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "train.lst"
    path.write_text(f"{NAME.flat}.jpg\nholiday.jpg\n")
    with pytest.raises(DataError, match=r"train\.lst:2: 'holiday\.jpg'"):
        read_split_list(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"pairs\.csv:1: header is missing; expected from,to"),
        ("a,b\n", r"header is a,b; expected from,to or two names"),
        (f"{NAME.flat}.jpg,nobody.jpg\n", r"pairs\.csv:1: header is .*nobody\.jpg; expected"),
        ("from,to\n" + "x" * 200_000 + ",y\n", r"pairs\.csv: cannot be read as a table"),
        (f"from,to\n{NAME.flat}.jpg\n", r"pairs\.csv:2: .* is not two names"),
        (f"from,to\n{NAME.flat}.jpg,nobody.jpg\n", r"pairs\.csv:2: 'nobody\.jpg'"),
    ],
)
def test_bad_pair_list_is_named_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_pair_list(path)


@pytest.mark.parametrize(
    "text",
    [
        "from,to\n{a},{b}\n{b},{a}\n",
        "From, To\r\n{a}, {b}\r\n\r\n{b}, {a}\r\n",
        ",from,to\n0,{a},{b}\n1,{b},{a}\n",
        "\ufefffrom,to\n{a},{b}\n{b},{a}\n",
        "{a},{b}\n{b},{a}\n",
        "{a} {b}\n{b}\t{a}\n",
    ],
    ids=["published", "spaced", "numbered", "byte order mark", "no header", "no commas"],
)
def test_pair_lists_in_circulation_say_the_same(tmp_path: Path, text: str) -> None:
    other = parse_name(NAME.key.replace("3_back", "1_front"))
    path = tmp_path / "pairs.txt"
    path.write_text(text.format(a=f"{NAME.flat}.jpg", b=f"{other.flat}.jpg"), newline="")
    assert read_pair_list(path) == (
        ListedPair(source=NAME.key, target=other.key),
        ListedPair(source=other.key, target=NAME.key),
    )


def test_bytes_that_are_no_text_are_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "test.lst"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"test\.lst: cannot be read as text"):
        read_split_list(path)


def test_one_image_listed_twice_is_an_error_naming_it() -> None:
    with pytest.raises(DataError, match="3_back is listed twice, for train and for train"):
        check_names([("train", NAME), ("train", NAME)])


def test_names_that_differ_by_case_alone_are_an_error_naming_both() -> None:
    other = ImageName(
        gender="WOMEN", category="blouses_shirts", identity="00000692", variant="02", view="3_back"
    )
    with pytest.raises(DataError, match=r"Blouses_Shirts.* and .*blouses_shirts.* differ by case alone"):
        check_names([("train", NAME), ("train", other)])


def test_outfit_in_both_splits_is_an_error_naming_both_images() -> None:
    other = parse_name(NAME.key.replace("3_back", "1_front"))
    with pytest.raises(
        DataError, match=r"is in both splits: .*3_back is listed for train, .*1_front for test"
    ):
        check_names([("train", NAME), ("test", other)])
