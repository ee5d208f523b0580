"""Who stands before the camera: identity, outfit and poses, all drawn from (seed, index)."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from mcld.data.mannequins.poses import Pose, sample_poses
from mcld.data.mannequins.wardrobe import Outfit, sample_outfit

FACE_DIM = 512
FACE_NORM = 20.0  # raw (unnormalised) ArcFace embeddings have about this length

HAIR_STYLES = ("crop", "short", "side_part", "bob", "long", "bun", "ponytail")
_WOMEN_CATEGORIES = ("Dresses", "Blouses_Shirts", "Tees_Tanks", "Skirts", "Shorts", "Jackets_Coats", "Pants")
_MEN_CATEGORIES = ("Tees_Tanks", "Shirts_Polos", "Jackets_Vests", "Pants", "Shorts")

# Streams keep the draws of one subject from shifting those of another.
_IDENTITY_STREAM, _OUTFIT_STREAM, _POSE_STREAM = 1, 2, 3
_PROJECTION_SEED = 20250

_SKINS = (
    (0.98, 0.86, 0.77),
    (0.95, 0.78, 0.65),
    (0.87, 0.67, 0.52),
    (0.76, 0.54, 0.40),
    (0.60, 0.40, 0.29),
    (0.44, 0.28, 0.20),
)
_HAIRS = (
    (0.08, 0.06, 0.06),
    (0.19, 0.11, 0.07),
    (0.36, 0.21, 0.12),
    (0.55, 0.35, 0.19),
    (0.83, 0.65, 0.38),
    (0.60, 0.24, 0.11),
    (0.63, 0.61, 0.60),
)
_EYES = ((0.25, 0.15, 0.09), (0.38, 0.25, 0.12), (0.28, 0.42, 0.27), (0.24, 0.42, 0.58), (0.36, 0.42, 0.46))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What stays with a person through every outfit. Unit-free fields lie in -1..1 or 0..1."""

    feminine: float
    height_m: float
    build: float  # -1 slender .. 1 broad
    leg_length: float
    skin: tuple[float, float, float]  # sRGB 0..1
    hair: tuple[float, float, float]
    hair_style: int  # index into HAIR_STYLES
    hair_length: float
    hairline: float
    fringe: float
    eye: tuple[float, float, float]
    eye_size: float
    eye_spacing: float
    eye_tilt: float
    brow_thickness: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lip_fullness: float
    lip_tone: float
    face_width: float
    jaw: float
    blush: float
    beard: float  # 0 none .. 1 full


@dataclass(frozen=True, slots=True, kw_only=True)
class Mannequin:
    """One person in one outfit with the poses of every view."""

    gender: str
    category: str
    identity_id: int
    variant: int
    views: tuple[str, ...]
    identity: Identity
    outfit: Outfit
    poses: tuple[Pose, ...]  # one a view, in the order of `views`

    def pose_of(self, view: str) -> Pose:
        """The pose in one of this outfit's views."""
        if view not in self.views:
            raise ValueError(f"this outfit has no view {view!r}; it has {', '.join(self.views)}")
        return self.poses[self.views.index(view)]


def identity_group(index: int) -> tuple[int, int]:
    """First index of the person's outfits and the variant number (1, 2) of this one.

    Every fourth pair of indices is one person in two outfits; no seed is involved, so that
    a split can be decided from indices alone.
    """
    pair, member = divmod(index, 2)
    return (pair * 2, member + 1) if pair % 4 == 1 else (index, 1)


def sample_mannequin(seed: int, *, index: int) -> Mannequin:
    """Draw the index-th outfit of a data set. Pure: the same arguments give the same person."""
    if index < 0:
        raise ValueError(f"index must be 0 or more, not {index}")
    first_index, variant = identity_group(index)
    rng = np.random.default_rng([seed, _IDENTITY_STREAM, first_index])
    # Alternating by index keeps small data sets balanced.
    gender = "MEN" if rng.random() < 0.38 else "WOMEN"
    categories = _MEN_CATEGORIES if gender == "MEN" else _WOMEN_CATEGORIES
    category = categories[int(rng.integers(len(categories)))]
    identity = _sample_identity(rng, gender=gender)
    outfit = sample_outfit(
        np.random.default_rng([seed, _OUTFIT_STREAM, index]), gender=gender, category=category
    )
    clearance_deg = 70 * outfit.bottom.flare * outfit.bottom.skirt + (
        4.0 if outfit.outer is not None else 0.0
    )
    views, poses = sample_poses(
        np.random.default_rng([seed, _POSE_STREAM, index]), clearance_deg=clearance_deg
    )
    return Mannequin(
        gender=gender,
        category=category,
        identity_id=first_index + 1,
        variant=variant,
        views=views,
        identity=identity,
        outfit=outfit,
        poses=poses,
    )


def _sample_identity(rng: np.random.Generator, *, gender: str) -> Identity:
    woman = gender == "WOMEN"
    styles = (1, 3, 3, 4, 4, 4, 5, 6) if woman else (0, 1, 1, 2, 2, 4)
    skin_place = float(rng.random())
    hair_choices = 7 if skin_place < 0.55 else 3  # dark skin seldom comes with fair hair
    hair = _jitter(rng, _HAIRS[int(rng.integers(hair_choices))], spread=0.02)
    signed = rng.uniform(-1.0, 1.0, 16)
    return Identity(
        feminine=float(np.clip(rng.normal(0.85 if woman else 0.0, 0.1), 0, 1)),
        height_m=float(rng.normal(1.72 if woman else 1.80, 0.04)),
        build=float(np.clip(rng.normal(0, 0.45), -1, 1)),
        leg_length=float(signed[0]),
        skin=_skin(rng, skin_place),
        hair=hair,
        hair_style=int(styles[int(rng.integers(len(styles)))]),
        hair_length=float(rng.random()),
        hairline=float(signed[1]),
        fringe=float(rng.random()),
        eye=_jitter(rng, _EYES[int(rng.integers(len(_EYES) if skin_place < 0.5 else 2))], spread=0.03),
        eye_size=float(signed[2]),
        eye_spacing=float(signed[3]),
        eye_tilt=float(signed[4]),
        brow_thickness=float(signed[5]),
        brow_tilt=float(signed[6]),
        nose_length=float(signed[7]),
        nose_width=float(signed[8]),
        mouth_width=float(signed[9]),
        lip_fullness=float(signed[10]),
        lip_tone=float(signed[11]),
        face_width=float(signed[12]),
        jaw=float(signed[13]),
        blush=float(rng.random()),
        beard=0.0 if woman or rng.random() < 0.55 else float(rng.uniform(0.35, 1.0)),
    )


def _skin(rng: np.random.Generator, place: float) -> tuple[float, float, float]:
    table = np.array(_SKINS)
    at = place * (len(table) - 1)
    low = min(int(at), len(table) - 2)
    return _jitter(rng, tuple(table[low] + (at - low) * (table[low + 1] - table[low])), spread=0.015)


def _jitter(
    rng: np.random.Generator, colour: tuple[float, ...], *, spread: float
) -> tuple[float, float, float]:
    red, green, blue = np.clip(np.array(colour) + rng.normal(0, spread, 3), 0.02, 0.99)
    return float(red), float(green), float(blue)


def identity_vector(identity: Identity) -> np.ndarray:
    """The identity parameters as numbers of comparable size, (P,) float64."""
    numbers = [
        value for field in astuple(identity) for value in (field if isinstance(field, tuple) else (field,))
    ]
    vector = np.array(numbers, dtype=np.float64)
    style_at = 1 + 1 + 1 + 1 + 3 + 3
    height_at = 1
    vector[height_at] = (vector[height_at] - 1.75) * 10
    style = np.zeros(len(HAIR_STYLES))
    style[int(vector[style_at])] = 1.0  # styles are labels: no style lies "between" two others
    return np.concatenate([np.delete(vector, style_at), style])


def face_embedding(mannequin: Mannequin) -> np.ndarray:
    """A stand-in for a face recogniser: (512,) float32 of norm 20, as long as raw ArcFace vectors.

    It is a fixed random projection of the identity parameters, not a network's output: equal for
    all outfits and views of a person, different between people.
    """
    vector = identity_vector(mannequin.identity)
    projection = np.random.default_rng(_PROJECTION_SEED).standard_normal((FACE_DIM, vector.size))
    embedding = projection @ (vector - 0.35)  # the mean is removed so that people spread over the sphere
    return np.asarray(embedding * (FACE_NORM / np.linalg.norm(embedding)), dtype=np.float32)
