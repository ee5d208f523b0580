"""Image to IUV map: read one that was made elsewhere, or estimate it.

`precomputed` takes IUV images in the format of the authors' published conditions, `densepose` runs the
network (`densepose_estimator.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mcld.config import Params, num_workers
from mcld.data.codec import decode_iuv, encode_iuv
from mcld.data.columns import write_part
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.stages.columns import Images, given_dir, images_dir, run_column
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import canonical_json, sha256_of_file
from mcld.types import Exclusion, ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "densepose"
FORMAT_VERSION = 2
IUV_MEMBER = "iuv.png"
FACTS_MEMBER = "facts.json"  # person_fraction of the image's pixels; score and num_people where estimated
NO_PERSON = "no person detected"
NO_FILE = "no IUV image given"
Members = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecomputedIuv(PartWork[Images]):
    """Copies given IUV images into a part after checking them."""

    iuv_dir: Path  # holds train_densepose/ and test_densepose/
    order: Literal["bgr", "rgb"]
    min_person_fraction: float

    def inputs(self, payload: Images) -> object:
        """Every image's hash and that of the IUV image given for it."""
        return [[image.key, image.sha256, self._hash(image)] for image in payload]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part; images without a person are excluded."""
        exclusions: list[Exclusion] = []
        found = ((image.key, self._members(image)) for image in payload)
        num_items = write_part(path, items=item_or_exclusion(found, exclusions=exclusions))
        return PartOutput(num_items=num_items, exclusions=tuple(exclusions))

    def _members(self, image: ImageRecord) -> Members | str:
        """The item's members, or why there are none."""
        path = self._path(image)
        try:
            data = path.read_bytes()
            iuv = decode_iuv(data, height_px=image.height_px, width_px=image.width_px, order=self.order)
        except FileNotFoundError:
            return NO_FILE
        except DataError as error:
            raise DataError(
                f"{path}: {error}; repair it or remove it, or set densepose.precomputed_order "
                f"(now {self.order}) to the order in which all were written"
            ) from error
        return members_or_reason(iuv, min_person_fraction=self.min_person_fraction)

    def _hash(self, image: ImageRecord) -> str:
        path = self._path(image)
        return sha256_of_file(path) if path.is_file() else "missing"

    def _path(self, image: ImageRecord) -> Path:
        return self.iuv_dir / f"{image.split}_densepose" / f"{parse_name(image.key).flat}.png"


def members_or_reason(
    iuv: np.ndarray | None,
    *,
    min_person_fraction: float,
    score: float | None = None,
    num_people: int | None = None,
) -> Members | str:
    """The item's members, or why there are none: nobody, or too little of somebody."""
    person_fraction = 0.0 if iuv is None else float((iuv[..., 0] > 0).mean())
    if iuv is None or person_fraction == 0.0 or person_fraction < min_person_fraction:
        return NO_PERSON
    facts = {
        "person_fraction": round(person_fraction, 6),
        "score": None if score is None else round(score, 4),
        "num_people": num_people,
    }
    return {IUV_MEMBER: encode_iuv(iuv), FACTS_MEMBER: canonical_json(facts).encode()}


def item_or_exclusion(
    results: Iterable[tuple[str, Members | str]], *, exclusions: list[Exclusion]
) -> Iterator[tuple[str, Members]]:
    """Column items of the results that have members; reasons go to `exclusions`."""
    for key, result in results:
        if isinstance(result, str):
            exclusions.append(Exclusion(key=key, reason=result, stage=STAGE))
        else:
            yield key, result


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/densepose: the IUV map of every image that shows a person."""
    section = params.densepose
    is_estimated = section.estimator == "densepose"
    return run_column(
        STAGE,
        images=read_index(workspace.stage_dir("dataset")).images,
        work=_estimate(params, workspace=workspace) if is_estimated else _read(params, workspace=workspace),
        settings=_settings(params),
        format_version=FORMAT_VERSION,
        max_excluded_fraction=section.max_excluded_fraction,
        workspace=workspace,
        mapper=mapper,
    )


def _settings(params: Params) -> dict[str, object]:
    """What shapes the bytes besides the images: for maps that are read, not how they would be estimated."""
    section = params.densepose
    shared: dict[str, object] = {
        "estimator": section.estimator,
        "min_person_fraction": section.min_person_fraction,
    }
    if section.estimator == "precomputed":
        return shared | {"order": section.precomputed_order}
    return shared | {
        "uv_overflow": section.uv_overflow,
        "person": section.person,
        "precision": section.precision,
        "batch_size": section.batch_size,  # the sums of a batch are added in another order
    }


def _read(params: Params, *, workspace: Workspace) -> PartWork[Images]:
    section = params.densepose
    return PrecomputedIuv(
        iuv_dir=given_dir(section.precomputed_dir, dataset=params.dataset, workspace=workspace),
        order=section.precomputed_order,
        min_person_fraction=section.min_person_fraction,
    )


def _estimate(params: Params, *, workspace: Workspace) -> PartWork[Images]:
    from mcld.stages.densepose_estimator import estimated_iuv  # brings PyTorch

    return estimated_iuv(
        params.densepose,
        workspace=workspace,
        root_dir=images_dir(params.dataset, workspace=workspace),
        device=params.runtime.device,
        num_threads=num_workers(params.runtime),
    )
