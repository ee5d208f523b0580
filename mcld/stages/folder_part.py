"""The work on an image folder: some of its pictures, each scored against the true target of its pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcld.data.codec import decode_image, decode_iuv
from mcld.data.columns import Column
from mcld.errors import DataError
from mcld.evaluation import protocols, similarity
from mcld.evaluation.foreign_image import ForeignImage, read_foreign_image
from mcld.evaluation.metrics import pair_metrics
from mcld.evaluation.scores import ScoredPair
from mcld.stages.columns import read_image_bytes
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file, write_json
from mcld.types import Exclusion, ImageRecord

STAGE = "evaluate"
JPEG, RESIZED, COPIES, WITHOUT_IUV = "jpeg", "resized", "copies", "without_iuv"  # counts of a part
COPY_PSNR_DB = 40.0  # so near its target is only the target itself; published models reach 19


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPair:
    """A test pair and the file of the folder that shows it. `id` is its number among all test pairs."""

    id: str
    source: str
    target: str
    file_name: str


FolderPairs = tuple[FolderPair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWork(PartWork[FolderPairs]):
    """Scores the pictures of one part. A picture that cannot be used is excluded with the reason.

    Without the column `densepose`, or without a target in it, scores by body region are undefined.
    """

    suffix = ".scores.json"

    directory: Path
    image_dir: Path
    targets: Mapping[str, ImageRecord]
    densepose: Column | None
    height_px: int
    width_px: int
    resizes: bool

    def inputs(self, payload: FolderPairs) -> object:
        """The hashes of every picture, its target and its IUV map's part."""
        return [
            [
                pair.id,
                pair.source,
                pair.target,
                pair.file_name,
                self.targets[pair.target].sha256,
                self.densepose and self.densepose.record(self.targets[pair.target].part).sha256,
                _hash(self.directory / pair.file_name),
            ]
            for pair in payload
        ]

    def build(self, payload: FolderPairs, *, path: Path) -> PartOutput:
        """Write the part's scores: which pairs were scored, and metric to one value each."""
        metrics = pair_metrics(height_px=self.height_px, width_px=self.width_px)
        scores: dict[str, list[float | None]] = {metric.name: [] for metric in metrics}
        counts: Counter[str] = Counter()
        exclusions: list[Exclusion] = []
        scored_ids: list[str] = []
        iuvs = self._iuvs(payload)
        for pair in payload:
            found = self._picture(pair)
            if isinstance(found, Exclusion):
                exclusions.append(found)
                continue
            scored_ids.append(pair.id)
            scored = self._beside_target(found, pair=pair, iuv_png=iuvs.get(pair.target), counts=counts)
            for metric in metrics:
                assert metric.function is not None
                scores[metric.name].append(metric.function(scored))
        write_json(path, value={"ids": scored_ids, "scores": scores})
        return PartOutput(num_items=len(scored_ids), exclusions=tuple(exclusions), counts=dict(counts))

    def unusable(self, pairs: FolderPairs) -> tuple[Exclusion, ...]:
        """The pictures that cannot be used; nothing is scored."""
        found = (self._picture(pair) for pair in pairs)
        return tuple(picture for picture in found if isinstance(picture, Exclusion))

    def _picture(self, pair: FolderPair) -> ForeignImage | Exclusion:
        path = self.directory / pair.file_name
        try:
            return read_foreign_image(
                path.read_bytes(), height_px=self.height_px, width_px=self.width_px, resizes=self.resizes
            )
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        except DataError as error:
            reason = str(error)
        return Exclusion(key=pair.file_name, reason=reason, stage=STAGE)

    def _beside_target(
        self, found: ForeignImage, *, pair: FolderPair, iuv_png: bytes | None, counts: Counter[str]
    ) -> ScoredPair:
        size = {"height_px": self.height_px, "width_px": self.width_px}
        target = protocols.resize(
            decode_image(read_image_bytes(self.targets[pair.target], root_dir=self.image_dir)), **size
        )
        iuv = np.zeros_like(target) if iuv_png is None else protocols.resize_iuv(decode_iuv(iuv_png), **size)
        nearness = similarity.psnr(found.pixels, target=target)
        counts[JPEG] += found.is_jpeg
        counts[RESIZED] += found.is_resized
        counts[COPIES] += nearness is None or nearness >= COPY_PSNR_DB
        counts[WITHOUT_IUV] += iuv_png is None
        return ScoredPair(image=found.pixels, target=target, target_iuv=iuv)

    def _iuvs(self, payload: FolderPairs) -> dict[str, bytes]:
        if self.densepose is None:
            return {}
        wanted = {pair.target for pair in payload}
        return {
            key: members[IUV_MEMBER]
            for part in sorted({self.targets[pair.target].part for pair in payload})
            for key, members in self.densepose.read_part(part).items()
            if key in wanted
        }


def _hash(path: Path) -> str | None:
    """The file's hash; None when it cannot be read, which `build` gives as a reason."""
    try:
        return sha256_of_file(path)
    except OSError:
        return None
