"""Colours and prints: what is kept of a garment, and which way up a picture lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mcld.conditions.texture import unwrap
from mcld.conditions.texture_layouts import to_tiles
from mcld.errors import ConfigError, DataError
from mcld.inference.editing import print_picture, recolour
from mcld.inference.photos.person import Person
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import pixels_of, same, same_outside

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def lab(colours: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(colours))


def flag() -> np.ndarray:
    """A picture that is unlike all its mirror images: red at top left, green below it, blue at top right."""
    picture = np.zeros((20, 20, 4), np.uint8)
    picture[:10, :10], picture[10:, :10], picture[:10, 10:] = (*RED, 255), (*GREEN, 255), (*BLUE, 255)
    return picture


def place_of(person: Person, *, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean row and column of the pixels that have this very colour."""
    found = np.argwhere((person.photo == colour).all(axis=-1))
    assert len(found) > 20
    return np.asarray(found.mean(axis=0))


def in_densepose_charts(person: Person) -> Person:
    """The same, with the torso's map as DensePose draws it: U down from the neck, V to the right arm."""
    iuv = person.iuv.copy()
    torso = pixels_of(person, "torso")
    u, v = iuv[torso, 1].astype(int), iuv[torso, 2].astype(int)
    front = iuv[torso, 0] == 2
    iuv[torso, 1], iuv[torso, 2] = 255 - v, np.where(front, 255 - u, u)
    atlas = unwrap(person.photo, iuv=iuv, part_size_px=64, fill_margin_px=8)
    return replace(person, iuv=iuv, atlas=atlas, charts="densepose")


@pytest.mark.parametrize("charts", ["mannequins", "densepose"])
@pytest.mark.parametrize(("view", "place"), [("1_front", "chest"), ("3_back", "back")])
@pytest.mark.parametrize("index", [0, 2])
def test_a_print_is_upright_and_not_mirrored(index: int, view: str, place: str, charts: str) -> None:
    person = embedded_person(index, view)
    person = in_densepose_charts(person) if charts == "densepose" else person
    printed = print_picture(person, picture=flag(), place="chest" if place == "chest" else "back")
    red, green, blue = (place_of(printed, colour=colour) for colour in (RED, GREEN, BLUE))
    assert green[0] - red[0] > 5
    assert abs(green[1] - red[1]) < 5
    assert blue[1] - red[1] > 5
    assert abs(blue[0] - red[0]) < 5


def test_a_print_changes_its_side_of_the_torso_alone() -> None:
    person = embedded_person(0)
    printed = print_picture(person, picture=flag())
    assert same_outside(person, printed, "torso")
    assert np.array_equal(to_tiles(printed.atlas)[0], to_tiles(person.atlas)[0])
    assert printed.edits == ("a print on the chest",)


def test_a_square_print_is_about_square_on_the_body() -> None:
    picture = np.zeros((30, 30, 3), np.uint8)
    picture[...] = GREEN
    printed = print_picture(embedded_person(0), picture=picture, width_share=0.4)
    rows, columns = np.nonzero((printed.photo == GREEN).all(axis=-1))
    assert 0.8 < (np.ptp(rows) + 1) / (np.ptp(columns) + 1) < 1.25


def test_alpha_lets_the_garment_through() -> None:
    person = embedded_person(0)
    clear, half = np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 4), np.uint8)
    half[...] = (*BLUE, 128)
    printed = print_picture(person, picture=clear)
    assert np.array_equal(printed.atlas, person.atlas)
    tinted = to_tiles(print_picture(person, picture=half).atlas)[1].astype(float)
    before = to_tiles(person.atlas)[1].astype(float)
    centre = (slice(20, 30), slice(28, 36))
    assert before[centre].any(axis=-1).all()
    expected = before[centre] * (127 / 255) + np.array(BLUE) * (128 / 255)
    assert np.abs(tinted[centre] - expected).max() <= 2


def test_a_print_too_high_for_its_width_is_made_smaller() -> None:
    tall = np.full((400, 40, 3), 255, np.uint8)
    person = embedded_person(0)
    printed = print_picture(person, picture=tall, width_share=1, height_share=0.5)
    rows, columns = np.nonzero((to_tiles(printed.atlas)[1] == 255).all(axis=-1))
    assert np.ptp(rows) + 1 == 32
    assert 3 <= np.ptp(columns) + 1 <= 5


@pytest.mark.parametrize("colour", ["#b03060", "#2f6f4f", "#3060c0", "#c0a040"])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_garment_reaches_the_colour_and_keeps_its_pattern(index: int, colour: str) -> None:
    person = embedded_person(index)
    painted = recolour(person, parts=["torso"], colour=colour)
    assert same_outside(person, painted, "torso")
    torso = pixels_of(person, "torso")
    before, after = lab(person.photo[torso]), lab(painted.photo[torso])
    target = lab(np.frombuffer(bytes.fromhex(colour[1:]), np.uint8))
    mean = after.mean(axis=0)
    assert abs(mean[0] - target[0]) < 3
    hues_deg = [np.degrees(np.arctan2(colour[2], colour[1])) for colour in (mean, target)]
    assert abs(hues_deg[0] - hues_deg[1]) < 5
    # White dots stay lighter than their ground, and sRGB has no light colours of much chroma.
    assert np.linalg.norm(mean[1:]) > 0.6 * np.linalg.norm(target[1:])
    assert 0.85 < after[:, 0].std() / before[:, 0].std() < 1.15
    assert np.corrcoef(before[:, 0], after[:, 0])[0, 1] > 0.9


def test_a_colour_takes_effect_by_its_strength() -> None:
    person = embedded_person(0)
    whole, half, none = (
        recolour(person, parts=["upper"], colour="#2040d0", strength=strength) for strength in (1, 0.5, 0)
    )
    assert same(none, person)
    assert np.abs(half.photo - (person.photo.astype(float) + whole.photo) / 2).max() <= 0.5
    assert half.edits == ("upper coloured #2040d0, 50 % of it",)


def test_texels_that_nothing_shows_stay_unpainted() -> None:
    person = embedded_person(0)
    painted = recolour(person, parts=["whole"], colour="#ffffff")
    assert np.array_equal(painted.atlas.any(axis=-1), person.atlas.any(axis=-1))


def test_unknown_colours_places_and_pictures_are_told() -> None:
    person = embedded_person(0)
    with pytest.raises(ConfigError, match="colour: 'red' is unknown; write it as #rrggbb"):
        recolour(person, parts=["torso"], colour="red")
    with pytest.raises(DataError, match=r"0-1_front.png: shows nothing of feet; name parts that are seen"):
        recolour(person, parts=["feet"], colour="#ff0000")
    with pytest.raises(ConfigError, match=r"width_share: 0 is not in 0\.\.1"):
        print_picture(person, picture=flag(), width_share=0)
    with pytest.raises(DataError, match=r"print: \(20, 20\) uint8 is no picture"):
        print_picture(person, picture=flag()[..., 0])
