"""The page's pieces: chart, numbers, tables."""

from __future__ import annotations

import base64
import io
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from mcld.data.index import DatasetIndex
from mcld.evaluation.charts import loss_curve_svg
from mcld.evaluation.datasheet import data_sheet, exclusion_table, lost_table, stage_table
from mcld.evaluation.report import data_uri, headlines, number
from mcld.types import Exclusion, ImageRecord, Manifest, Pair


def image_record(outfit: str, view: str, split: str) -> ImageRecord:
    return ImageRecord(
        key=f"{outfit}/{view}",
        outfit_key=outfit,
        view=view,
        gender="WOMEN",
        category="Dresses",
        split=split,
        path="x.jpg",
        sha256="0",
        height_px=1,
        width_px=1,
        num_bytes=1,
        part=0,
    )


def test_chart_is_valid_svg_that_stays_inside_its_frame() -> None:
    steps = list(range(1, 2001))
    losses = [0.02 + math.exp(-step / 100) for step in steps]
    losses[700] = 50.0  # one wild step must not squash the rest
    root = ElementTree.fromstring(loss_curve_svg(steps, losses=losses))
    lines = [element for element in root if element.tag == "polyline"]
    assert len(lines) == 2
    points = [
        tuple(map(float, point.split(","))) for line in lines for point in line.attrib["points"].split()
    ]
    assert all(0 <= x <= 720 and 0 <= y <= 240 for x, y in points)
    assert any(element.text == "0.1" for element in root)


@pytest.mark.parametrize("losses", [[], [0.0, 1.0]])
def test_no_chart_without_positive_losses(losses: list[float]) -> None:
    assert loss_curve_svg(list(range(len(losses))), losses=losses) == ""


def test_chart_of_one_step_is_drawn() -> None:
    assert ElementTree.fromstring(loss_curve_svg([1], losses=[0.3])).tag == "svg"


def test_images_are_embedded_whole() -> None:
    image = np.full((12, 10, 3), (200, 30, 60), np.uint8)
    head, _, body = data_uri(image).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as decoded:
        assert np.abs(np.asarray(decoded).astype(int) - image).max() < 8


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.8131, "0.813"), (24.93, "24.9"), (8.76, "8.8")])
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert number(value) == text


def test_headlines_need_both_figures() -> None:
    assert headlines({"silhouette_iou": 0.8}) == ()
    (only,) = headlines({"silhouette_iou": 0.81, "wrong_pose.silhouette_iou": 0.42})
    assert (only.figure, only.versus) == ("0.810", "with a wrong pose 0.420")


def test_data_sheet_counts_images_and_pairs_by_split() -> None:
    places = (("a", "1_front", "train"), ("a", "3_back", "train"), ("b", "1_front", "test"))
    images = tuple(image_record(*place) for place in places)
    pairs = (Pair(source="a/1_front", target="a/3_back", split="train"),)
    category, view, pair = data_sheet(DatasetIndex(images=images, pairs=pairs, exclusions=()))
    assert category.rows == (("WOMEN Dresses", "2", "1", "3"), ("all", "2", "1", "3"))
    assert view.rows[0] == ("1_front", "1", "1", "2")
    assert pair.rows[0] == ("1_front → 3_back", "1", "0", "1")


def test_exclusions_are_grouped_by_stage_and_reason_with_examples() -> None:
    found = [
        Exclusion(key=f"k{number}", reason="no person detected", stage="densepose") for number in range(5)
    ]
    found.append(Exclusion(key="x", reason="not an image", stage="dataset"))
    table = exclusion_table(found)
    assert table.rows == (
        ("densepose", "no person detected", "5", "k0, k1, k2, …"),
        ("dataset", "not an image", "1", "x"),
    )


def test_what_was_lost_with_an_image_is_told_by_reason() -> None:
    counts = {
        "pairs_train": 7,
        "pairs_lost: densepose: no person detected": 1060,
        "images_lost: face: NaN": 0,
    }
    manifests = {"shards": Manifest(stage="shards", format_version=1, settings={}, parts=(), counts=counts)}
    assert lost_table(manifests).rows == (("shards", "pairs lost", "densepose: no person detected", "1,060"),)
    (stage,) = stage_table(manifests, versions={"shards": "0123456789abcdef"}).rows
    assert stage == ("shards", "0", "0", "0123456789ab", "pairs train 7")
