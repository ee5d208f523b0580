"""The stage `densepose` with its network: items in order, nobody is excluded, repeating gives the bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mcld.conditions.densepose import best_iuv, find_people, load_densepose
from mcld.conditions.densepose.weights import empty_network
from mcld.config import DenseposeParams, load_params
from mcld.data.codec import decode_iuv, encode_png
from mcld.data.columns import Column
from mcld.data.tar import read_members
from mcld.errors import ConfigError, DataError
from mcld.parity.densepose_recipe import recipe_image, recipe_state
from mcld.stages.columns import Images
from mcld.stages.densepose_estimator import EstimatedIuv
from mcld.stages.mapper import LocalMapper, Mapper, SerialMapper
from mcld.stages.parts import PartPlan, finish, part_name, run_parts
from mcld.storage import sha256_of_bytes, sha256_of_file
from mcld.tensors.files import write_tensors
from mcld.types import Exclusion, ImageRecord

PARAMS = DenseposeParams(estimator="densepose", weights_path="unused.safetensors", batch_size=2)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    shapes = {name: tuple(value.shape) for name, value in empty_network().state_dict().items()}
    return {
        name: torch.from_numpy(value) for name, value in recipe_state(shapes, seed=14, uv_spread=0.3).items()
    }


def estimator(state: dict[str, Tensor], root_dir: Path) -> EstimatedIuv:
    """The stage's work, with these weights in a file."""
    weights_path = root_dir / "densepose.safetensors"
    write_tensors(weights_path, state=state)
    return EstimatedIuv(
        weights_path=weights_path,
        weights_sha256=sha256_of_file(weights_path),
        params=PARAMS,
        root_dir=root_dir,
        device="cpu",
        num_threads=2,
    )


def picture(width_px: int) -> np.ndarray:
    return np.ascontiguousarray(recipe_image(2)[:200, 50 : 50 + width_px, ::-1])


def record(root_dir: Path, *, name: str, pixels: np.ndarray) -> ImageRecord:
    """An image on disk and its line of the index."""
    data = encode_png(pixels)
    (root_dir / f"{name}.png").write_bytes(data)
    return ImageRecord(
        key=f"WOMEN-Dresses-id_00000001-01/{name}",
        outfit_key="WOMEN-Dresses-id_00000001-01",
        view=name,
        gender="WOMEN",
        category="Dresses",
        split="train",
        path=f"{name}.png",
        sha256=sha256_of_bytes(data),
        num_bytes=len(data),
        height_px=pixels.shape[0],
        width_px=pixels.shape[1],
        part=0,
    )


@pytest.mark.slow
def test_every_image_gets_its_own_map_in_the_index_order(state: dict[str, Tensor], tmp_path: Path) -> None:
    work = estimator(state, tmp_path)
    wide, narrow = picture(210), picture(200)
    images = (
        record(tmp_path, name="1_front", pixels=wide),
        record(tmp_path, name="2_side", pixels=narrow),
    )
    output = work.build(images, path=tmp_path / "part.tar")
    assert (output.num_items, output.exclusions) == (2, ())
    assert output.counts["images_with_several_people"] <= 2
    items = dict(read_members((tmp_path / "part.tar").read_bytes(), place="the part"))
    assert list(items) == [f"{image.key}.{name}" for image in images for name in ("facts.json", "iuv.png")]
    facts = json.loads(items[f"{images[0].key}.facts.json"])
    found = decode_iuv(items[f"{images[0].key}.iuv.png"], height_px=200, width_px=210)
    network = load_densepose(work.weights_path)
    expected = best_iuv(find_people(network, images=[wide], person="biggest")[0], uv_overflow="clamp")
    assert expected is not None
    assert (found == expected).mean() > 0.999
    assert facts["person_fraction"] == pytest.approx((found[..., 0] > 0).mean(), abs=1e-6)
    assert 0.5 < facts["score"] <= 1
    assert facts["num_people"] >= 1


@pytest.mark.slow
def test_an_image_without_a_person_is_an_exclusion(state: dict[str, Tensor], tmp_path: Path) -> None:
    bias = "roi_heads.box_predictor.cls_score.bias"
    work = estimator(state | {bias: torch.tensor([-30.0, 30.0])}, tmp_path)
    image = record(tmp_path, name="1_front", pixels=picture(200))
    output = work.build((image,), path=tmp_path / "part.tar")
    assert output.num_items == 0
    assert [(e.key, e.reason) for e in output.exclusions] == [(image.key, "no person detected")]


@pytest.mark.slow
def test_images_of_any_shape_get_a_map_of_their_size_or_nobody(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    shapes = {"1_front": (16, 16), "2_side": (30, 500), "3_back": (700, 40), "4_full": (5000, 8000)}
    images = tuple(
        record(tmp_path, name=name, pixels=np.resize(picture(200), (*shape, 3)))
        for name, shape in shapes.items()
    )
    output = estimator(state, tmp_path).build(images, path=tmp_path / "part.tar")
    members = dict(read_members((tmp_path / "part.tar").read_bytes(), place="the part"))
    found = [image for image in images if f"{image.key}.iuv.png" in members]
    for image in found:  # reading checks the size
        data = members[f"{image.key}.iuv.png"]
        assert decode_iuv(data, height_px=image.height_px, width_px=image.width_px)[..., 0].any()
    assert {exclusion.reason for exclusion in output.exclusions} <= {"no person detected"}
    assert len(found) + len(output.exclusions) == len(images)


def test_an_image_that_changed_is_an_error_that_names_it(state: dict[str, Tensor], tmp_path: Path) -> None:
    image = record(tmp_path, name="1_front", pixels=picture(200))
    (tmp_path / "1_front.png").write_bytes(b"other bytes")
    with pytest.raises(DataError, match=r"1_front.*changed since the index was made"):
        estimator(state, tmp_path).build((image,), path=tmp_path / "part.tar")
    assert not (tmp_path / "part.tar").exists()


def test_an_estimator_without_weights_is_an_error_that_says_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("densepose: {estimator: densepose}\n")
    with pytest.raises(
        ConfigError, match=r"densepose\.weights_path: needed .* `mcld weights import-densepose`"
    ):
        load_params(tmp_path / "params.yaml")


def test_an_image_that_does_not_decode_is_an_exclusion_beside_its_neighbours(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    image = record(tmp_path, name="1_front", pixels=picture(200))
    data = (tmp_path / image.path).read_bytes()[:-2000]
    (tmp_path / image.path).write_bytes(data)
    damaged = replace(image, sha256=sha256_of_bytes(data), num_bytes=len(data))  # as indexed by its header
    output = estimator(state, tmp_path).build((damaged,), path=tmp_path / "part.tar")
    assert (output.num_items, output.exclusions) == (
        0,
        (Exclusion(key=image.key, reason="truncated or damaged image", stage="densepose"),),
    )


@pytest.mark.long
@pytest.mark.slow
def test_two_devices_give_the_bytes_of_one_process(state: dict[str, Tensor], tmp_path: Path) -> None:
    work = estimator(state, tmp_path)
    plans: list[PartPlan[Images]] = [
        PartPlan(index=part, name=part_name(part), payload=(replace(image, part=part),))
        for part in range(2)
        for image in [record(tmp_path, name=f"{part + 1}_front", pixels=picture(200 + part))]
    ]
    mappers: dict[str, Mapper] = {
        "one": SerialMapper(),
        "two": LocalMapper(num_workers=2, device_ids=("0", "1")),
    }
    for name, mapper in mappers.items():
        manifest, _ = run_parts(
            "densepose",
            out_dir=tmp_path / name,
            settings={},
            format_version=1,
            plans=plans,
            work=work,
            mapper=mapper,
        )
        finish(manifest, out_dir=tmp_path / name)
    found = {name: column_of(tmp_path / name) for name in mappers}
    assert found["one"].keys() == found["two"].keys()
    for key, iuv in found["one"].items():  # another number of threads adds in another order
        assert (iuv == found["two"][key]).mean() > 0.999


def column_of(directory: Path) -> dict[str, np.ndarray]:
    """The IUV maps of a finished column."""
    column = Column.open(directory)
    items = [item for part in column.manifest.parts for item in column.read_part(part.index).items()]
    return {key: decode_iuv(members["iuv.png"]) for key, members in items}
