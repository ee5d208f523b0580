"""What a person wears, continued to where the photograph shows nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mcld.conditions.texture import unwrap, visible_mask
from mcld.conditions.texture_fill import fill_nearest
from mcld.conditions.texture_layouts import part_size_of, to_tiles
from mcld.inference.editing.look import look_of
from mcld.inference.editing.parts import BONES, LIMBS
from mcld.inference.photos.person import Charts, Person
from tests.embedded_people import embedded_person
from tests.inference.editing.measures import inner_pixels

SIZE_PX = 64


def seen_by(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """The colours that a person's picture shows, (24, S, S, 3), and where, (24, S, S)."""
    tiles = unwrap(person.photo, iuv=person.iuv, part_size_px=SIZE_PX, fill_margin_px=0)
    return to_tiles(tiles), to_tiles(visible_mask(person.iuv, part_size_px=SIZE_PX))


def without_outline(person: Person) -> Person:
    """The same, with a map of the inner pixels alone."""
    return replace(person, iuv=np.where(inner_pixels(person)[..., None], person.iuv, 0))


def ramp_person(*, charts: Charts, part: int) -> Person:
    """A picture of one part, 64 x 64, whose colour goes from 10 to 73 along U, from 100 to 163 along V."""
    steps = np.arange(64, dtype=np.uint8)
    iuv = np.zeros((64, 64, 3), np.uint8)
    iuv[..., 0], iuv[..., 1], iuv[..., 2] = part, 4 * steps, 4 * steps[:, None]
    photo = np.stack(np.broadcast_arrays(10 + steps, 100 + steps[:, None], 200 + 0 * steps), axis=-1)
    atlas = unwrap(photo, iuv=iuv, part_size_px=SIZE_PX, fill_margin_px=0)
    return replace(embedded_person(0), photo=photo, iuv=iuv, atlas=atlas, charts=charts)


def test_what_the_picture_shows_stays_as_it_is() -> None:
    person = embedded_person(0)
    colours, seen = seen_by(without_outline(person))
    look = look_of(person)
    assert np.array_equal(look.whole[seen], colours[seen])
    assert np.array_equal(look.tiles, to_tiles(person.atlas))


def test_the_background_at_the_outline_is_not_continued() -> None:
    person = embedded_person(0)
    outline = (person.iuv[..., 0] > 0) & ~inner_pixels(person)
    mixed = replace(person, photo=np.where(outline[..., None], 255, person.photo).astype(np.uint8))
    same_inside = look_of(mixed).whole == look_of(person).whole
    assert same_inside[:2].all()  # the torso's tiles
    assert same_inside[6:22].all()


def test_a_limb_that_is_all_outline_is_known_by_it() -> None:
    person = embedded_person(0)
    iuv = np.where(np.isin(person.iuv[..., :1], LIMBS["hands"]), 0, person.iuv)
    iuv[5, 5] = (3, 100, 100)
    photo = person.photo.copy()
    photo[5, 5] = (9, 8, 7)
    look = look_of(replace(person, iuv=iuv, photo=photo, atlas=np.zeros_like(person.atlas)))
    assert look.knows(LIMBS["hands"]) == LIMBS["hands"]
    assert (look.whole[2] == (9, 8, 7)).all()


def test_a_mannequins_unseen_tile_takes_the_mean_at_the_same_height() -> None:
    look = look_of(ramp_person(charts="mannequins", part=9))
    behind = look.whole[7 - 1].astype(int)  # the back of the same leg; V is a row
    assert (np.abs(behind[..., 0] - (10 + 31.5)) <= 1).all()
    assert np.array_equal(behind[..., 1], look.whole[9 - 1].astype(int)[..., 1])


def test_a_densepose_tile_that_runs_the_other_way_is_turned_about() -> None:
    look = look_of(ramp_person(charts="densepose", part=9))
    behind = look.whole[7 - 1].astype(int)  # U is along the leg, upwards in front and downwards behind
    assert np.array_equal(behind[..., 0], look.whole[9 - 1].astype(int)[:, ::-1, 0])
    assert (np.abs(behind[..., 1] - (100 + 31.5)) <= 1).all()


def test_a_bone_that_is_not_seen_takes_the_mean_of_its_limb_and_other_limbs_are_not_known() -> None:
    look = look_of(ramp_person(charts="mannequins", part=9))
    lower_leg = look.whole[11 - 1]
    assert (lower_leg == lower_leg[0, 0]).all()
    assert np.abs(lower_leg[0, 0].astype(int) - (41.5, 131.5, 200)).max() <= 1
    assert look.knows(tuple(range(1, 25))) == LIMBS["legs"]
    assert not look.whole[2 - 1].any()


def test_a_truly_black_garment_is_seen_as_black() -> None:
    person = embedded_person(0)
    torso = np.isin(person.iuv[..., 0], LIMBS["torso"])
    photo = np.where(torso[..., None], 0, person.photo).astype(np.uint8)
    atlas = unwrap(photo, iuv=person.iuv, part_size_px=SIZE_PX, fill_margin_px=8)
    look = look_of(replace(person, photo=photo, atlas=atlas))
    assert look.knows(LIMBS["torso"]) == LIMBS["torso"]
    assert not look.whole[:2].any()
    assert look.shown[1].any()


def test_a_continued_garment_is_nearer_to_its_other_views_than_the_nearest_texel_is() -> None:
    ours, nearest = [], []
    for index in range(4):
        person, other = embedded_person(index), embedded_person(index, "3_back")
        colours, seen = seen_by(person)
        truth, shown_there = seen_by(other)
        near = fill_nearest(colours, visible=seen, margin_px=2 * SIZE_PX)
        for bone in BONES:
            rows = [part - 1 for part in bone if seen[part - 1].any()]
            new = shown_there[rows] & ~seen[rows]
            if new.any():
                wanted = truth[rows][new].astype(int)
                ours.append(np.abs(look_of(person).whole[rows][new] - wanted).mean())
                nearest.append(np.abs(near[rows][new] - wanted).mean())
    assert len(ours) >= 10
    assert np.mean(ours) < 0.8 * np.mean(nearest)


def test_an_edited_persons_texture_counts_though_the_own_picture_does_not_show_it() -> None:
    from_behind, in_front = embedded_person(2, "3_back"), embedded_person(2)
    assert part_size_of(in_front.atlas) == SIZE_PX
    borrowed = replace(from_behind, atlas=in_front.atlas, edits=("torso of another",))
    texel = seen_by(without_outline(in_front))[1][1]
    assert np.array_equal(look_of(borrowed).whole[1][texel], to_tiles(in_front.atlas)[1][texel])
