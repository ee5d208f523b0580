"""A workspace with a data set and little else, and image folders as other people would send them."""

from __future__ import annotations

from pathlib import Path

import cv2

from mcld.config import DatasetParams, GenerateParams, Params
from mcld.data.codec import decode_image, encode_png
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.evaluation.protocols import resize
from mcld.stages import dataset, densepose
from mcld.stages.columns import images_dir
from mcld.stages.folder_pairs import ordered_test_pairs
from mcld.stages.mapper import SerialMapper
from mcld.workspace import Workspace

HEIGHT_PX, WIDTH_PX = 64, 44
PARAMS = Params(
    dataset=DatasetParams(num_outfits=3, num_test_outfits=2, height_px=96, width_px=66, damaged_items=False),
    generate=GenerateParams(height_px=HEIGHT_PX, width_px=WIDTH_PX),
)


def make_workspace(root: Path) -> Workspace:
    """Run the stages `dataset` and `densepose`."""
    workspace = Workspace(root=root)
    for stage in (dataset, densepose):
        stage.run(PARAMS, workspace=workspace, mapper=SerialMapper())
    return workspace


def write_image_folder(
    directory: Path, *, workspace: Workspace, sigma: float = 1.0, naming: str = "{source}_2_{target}.png"
) -> Path:
    """Blurred targets in place of what a model would make, one a test pair."""
    index = read_index(workspace.stage_dir("dataset"))
    records = {image.key: image for image in index.images}
    root_dir = images_dir(PARAMS.dataset, workspace=workspace)
    directory.mkdir(parents=True)
    for pair in ordered_test_pairs(index):
        target = decode_image((root_dir / records[pair.target].path).read_bytes())
        image = resize(target, height_px=HEIGHT_PX, width_px=WIDTH_PX)
        image = cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image
        name = naming.format(source=parse_name(pair.source).flat, target=parse_name(pair.target).flat)
        path = directory / name
        if path.suffix == ".png":
            path.write_bytes(encode_png(image))
        else:
            assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return directory
