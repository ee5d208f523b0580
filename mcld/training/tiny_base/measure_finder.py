"""How well the finder's networks do on people whom nobody trained on: those of the demo's own seed.

All of it goes the way that a user's picture goes: through JPEG, at the demo's size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from mcld.conditions.mannequins import (
    FaceNetwork,
    MannequinNetworks,
    find_rendered_people,
    head_picture,
    head_square,
    pixels_in,
)
from mcld.progress import track
from mcld.training.tiny_base.backgrounds import background
from mcld.training.tiny_base.people_corpus import PeopleSettings, RenderedOutfit, render_outfit
from mcld.training.tiny_base.people_pictures import jpeg

DEMO_SEED = 7
OUTFITS = range(36, 60)  # of the demo's 60: those of its test split, and some before, for twenty people
JPEG_QUALITY = 95
NUM_BACKGROUNDS = 200
GALLERY = 20  # people among whom a face must be its own person's

Find = Callable[[np.ndarray], list[np.ndarray]]


def measure_finder(networks: MannequinNetworks, *, outfits: range = OUTFITS) -> dict[str, object]:
    """Figures by name; shares and cosines 0..1, U and V in levels of 255."""
    settings = PeopleSettings(seed=DEMO_SEED, num_outfits=outfits.stop, views_per_outfit=6)
    rendered = [
        render_outfit(settings, index)
        for index in track(outfits, description="rendering people to measure on", total=len(outfits))
    ]

    def find(picture: np.ndarray) -> list[np.ndarray]:
        photo = jpeg(picture, quality=JPEG_QUALITY)
        return [person.iuv for person in find_rendered_people(networks.person, photo=photo)]

    return {
        "seed": DEMO_SEED,
        "outfits": [outfits.start, outfits.stop],
        **measure_people(find, outfits=rendered),
        **measure_groups(find, outfits=rendered),
        **measure_nobody(find, outfits=rendered),
        **measure_faces(networks.face, find=find, outfits=rendered),
    }


def measure_people(find: Find, *, outfits: Sequence[RenderedOutfit]) -> dict[str, object]:
    """Means over pictures of one person. U and V are compared where the part is right."""
    accuracies, overlaps, errors, alone = [], [], [], 0
    for outfit in outfits:
        for image, truth in zip(outfit.images, outfit.iuvs, strict=True):
            people = find(image)
            found = _together(people, like=truth)
            accuracies.append(part_accuracy(found, truth=truth))
            overlaps.append(silhouette_iou(found, truth=truth))
            errors.append(uv_error(found, truth=truth))
            alone += len(people) == 1
    u_error, v_error = np.nanmean(errors, axis=0)
    return {
        "num_pictures": len(overlaps),
        "part_accuracy": round(float(np.mean(accuracies)), 4),
        "silhouette_iou": round(float(np.mean(overlaps)), 4),
        "silhouette_iou_worst": round(float(np.min(overlaps)), 4),
        "u_error": round(float(u_error), 2),
        "v_error": round(float(v_error), 2),
        "one_person_found": round(alone / len(overlaps), 4),
    }


def measure_groups(find: Find, *, outfits: Sequence[RenderedOutfit]) -> dict[str, object]:
    """How often of two and three pictures side by side so many people are found, and how well."""
    measured: dict[str, object] = {}
    for number, name in ((2, "two"), (3, "three")):
        right, accuracies, overlaps = [], [], []
        for first in range(len(outfits) - number + 1):
            members = outfits[first : first + number]
            truth = np.hstack([outfit.iuvs[place] for place, outfit in enumerate(members)])
            people = find(np.hstack([outfit.images[place] for place, outfit in enumerate(members)]))
            found = _together(people, like=truth)
            right.append(len(people) == number)
            accuracies.append(part_accuracy(found, truth=truth))
            overlaps.append(silhouette_iou(found, truth=truth))
        measured[f"{name}_people_are_{name}"] = round(float(np.mean(right)), 4)
        measured[f"{name}_people_part_accuracy"] = round(float(np.mean(accuracies)), 4)
        measured[f"{name}_people_silhouette_iou"] = round(float(np.mean(overlaps)), 4)
    return measured


def measure_nobody(find: Find, *, outfits: Sequence[RenderedOutfit]) -> dict[str, object]:
    """How often nobody is found where there is nobody."""
    height_px, width_px = outfits[0].images[0].shape[:2]
    generator = np.random.default_rng(DEMO_SEED)
    backgrounds = [
        background(generator, height_px=height_px, width_px=width_px) for _ in range(NUM_BACKGROUNDS)
    ]
    flats = [flat for outfit in outfits for flat in outfit.flats]
    return {
        "num_backgrounds": len(backgrounds),
        "nobody_in_backgrounds": round(
            sum(not find(picture) for picture in backgrounds) / len(backgrounds), 4
        ),
        "num_flat_views": len(flats),
        "nobody_in_flat_views": round(sum(not find(picture) for picture in flats) / max(1, len(flats)), 4),
    }


def measure_faces(
    network: FaceNetwork, *, find: Find, outfits: Sequence[RenderedOutfit]
) -> dict[str, object]:
    """Whose faces the found heads have; `fronts` are the faces of front views.

    All embeddings have much in common. Ranks are of cosines of what is left without the people's mean; those
    of whole vectors, which favour whoever is near the mean, are told beside.
    """
    gallery = np.unique(np.stack([outfit.embedding for outfit in outfits]), axis=0)
    mean = gallery.mean(axis=0)
    cosines, ranks, whole_ranks, right = [], [], [], []
    for outfit in outfits:
        for view, (image, is_seen) in enumerate(zip(outfit.images, outfit.face_visible, strict=True)):
            embedding, says_seen = _face(network, image=image, people=find(image))
            right.append(says_seen == is_seen)
            if is_seen and embedding is not None:
                cosines.append(_cosine(embedding, outfit.embedding))
                if view == 0:
                    ranks.append(_rank(embedding - mean, own=outfit.embedding - mean, gallery=gallery - mean))
                    whole_ranks.append(_rank(embedding, own=outfit.embedding, gallery=gallery))
    return {
        "num_people_to_choose_from": min(GALLERY, len(gallery)),
        "num_faces": len(cosines),
        "face_cosine_median": round(float(np.median(cosines)), 4),
        "num_fronts": len(ranks),
        "fronts_ranked_first": round(float(np.mean(np.array(ranks) == 0)), 4),
        "fronts_among_first_five": round(float(np.mean(np.array(ranks) < 5)), 4),
        "fronts_ranked_first_by_whole_vectors": round(float(np.mean(np.array(whole_ranks) == 0)), 4),
        "face_seen_accuracy": round(float(np.mean(right)), 4),
    }


def part_accuracy(found: np.ndarray, *, truth: np.ndarray) -> float:
    """Share of a person's pixels whose part is right."""
    is_person = truth[..., 0] > 0
    return float((found[..., 0] == truth[..., 0])[is_person].mean())


def silhouette_iou(found: np.ndarray, *, truth: np.ndarray) -> float:
    """Intersection over union of the pixels that are somebody's."""
    seen, real = found[..., 0] > 0, truth[..., 0] > 0
    return float((seen & real).sum() / (seen | real).sum())


def uv_error(found: np.ndarray, *, truth: np.ndarray) -> tuple[float, float]:
    """Mean absolute errors of U and V, in levels, where the part is right; NaN where it never is."""
    is_right = (found[..., 0] == truth[..., 0]) & (truth[..., 0] > 0)
    if not is_right.any():
        return float("nan"), float("nan")
    away = np.abs(found[is_right, 1:].astype(np.float64) - truth[is_right, 1:]).mean(axis=0)
    return float(away[0]), float(away[1])


def _together(people: Sequence[np.ndarray], *, like: np.ndarray) -> np.ndarray:
    """Everybody in one map."""
    together = np.zeros_like(like)
    for iuv in people:
        together = np.where(iuv[..., :1] > 0, iuv, together)
    return together


def _face(
    network: FaceNetwork, *, image: np.ndarray, people: Sequence[np.ndarray]
) -> tuple[np.ndarray | None, bool]:
    """The embedding of the first person's head, if there is one, and whether its face is said to be seen."""
    square = head_square(people[0]) if people else None
    if square is None:
        return None, False
    picture = head_picture(jpeg(image, quality=JPEG_QUALITY), square=square)
    with torch.inference_mode():
        embedding, seen = network(pixels_in(torch.from_numpy(np.array(picture))[None]))
    return embedding[0].numpy(), float(seen[0]) > 0


def _rank(embedding: np.ndarray, *, own: np.ndarray, gallery: np.ndarray) -> int:
    """How many of the others, the first of the gallery, are nearer than the person's own vector."""
    others = [other for other in gallery if not np.array_equal(other, own)][: GALLERY - 1]
    return sum(_cosine(embedding, other) > _cosine(embedding, own) for other in others)


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
