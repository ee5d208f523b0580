"""Image to IUV map. `precomputed` takes IUV images in the format of the authors' published conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcld.config import Params
from mcld.data.codec import decode_iuv, encode_iuv
from mcld.data.columns import write_part
from mcld.data.deepfashion import parse_name
from mcld.data.index import read_index
from mcld.errors import DataError
from mcld.stages.columns import Images, images_dir, run_column
from mcld.stages.mapper import Mapper
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file
from mcld.types import Exclusion, ImageRecord, Report
from mcld.workspace import Workspace

STAGE = "densepose"
FORMAT_VERSION = 1
IUV_MEMBER = "iuv.png"
NO_PERSON = "no person detected"
NO_FILE = "no IUV image given"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecomputedIuv(PartWork[Images]):
    """Copies given IUV images into a part after checking them."""

    iuv_dir: Path  # holds train_densepose/ and test_densepose/
    min_person_fraction: float

    def inputs(self, payload: Images) -> object:
        """Every image's hash and that of the IUV image given for it."""
        return [[image.key, image.sha256, self._hash(image)] for image in payload]

    def build(self, payload: Images, *, path: Path) -> PartOutput:
        """Write the part; images without a person are excluded."""
        exclusions: list[Exclusion] = []
        num_items = write_part(path, items=self._items(payload, exclusions=exclusions))
        return PartOutput(num_items=num_items, exclusions=tuple(exclusions))

    def _items(
        self, images: Images, *, exclusions: list[Exclusion]
    ) -> Iterator[tuple[str, dict[str, bytes]]]:
        for image in images:
            result = self._item(image)
            if isinstance(result, str):
                exclusions.append(Exclusion(key=image.key, reason=result, stage=STAGE))
            else:
                yield image.key, {IUV_MEMBER: result}

    def _item(self, image: ImageRecord) -> bytes | str:
        """The item's bytes, or why there are none."""
        path = self._path(image)
        try:
            iuv = decode_iuv(path.read_bytes(), height_px=image.height_px, width_px=image.width_px)
        except FileNotFoundError:
            return NO_FILE
        except DataError as error:
            raise DataError(f"{path}: {error}; repair it or remove it") from error
        has_person = (iuv[..., 0] > 0).mean() >= self.min_person_fraction and iuv[..., 0].any()
        return encode_iuv(iuv) if has_person else NO_PERSON

    def _hash(self, image: ImageRecord) -> str:
        path = self._path(image)
        return sha256_of_file(path) if path.is_file() else "missing"

    def _path(self, image: ImageRecord) -> Path:
        return self.iuv_dir / f"{image.split}_densepose" / f"{parse_name(image.key).flat}.png"


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/densepose: the IUV map of every image that shows a person."""
    section = params.densepose
    given_dir = workspace.root / section.precomputed_dir if section.precomputed_dir else None
    work = PrecomputedIuv(
        iuv_dir=given_dir or images_dir(params.dataset, workspace=workspace),
        min_person_fraction=section.min_person_fraction,
    )
    return run_column(
        STAGE,
        images=read_index(workspace.stage_dir("dataset")).images,
        work=work,
        settings={"estimator": section.estimator, "min_person_fraction": section.min_person_fraction},
        format_version=FORMAT_VERSION,
        max_excluded_fraction=section.max_excluded_fraction,
        workspace=workspace,
        mapper=mapper,
    )
