"""The work of the stage `evaluate` on some pairs: every row's image scored against the true target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.data.codec import decode_image, decode_iuv
from mcld.data.columns import Column
from mcld.errors import DataError
from mcld.evaluation import protocols
from mcld.evaluation.metrics import pair_metrics
from mcld.evaluation.protocols import ROWS, GeneratedPair, Row
from mcld.evaluation.scores import ScoredPair
from mcld.stages.columns import read_image_bytes
from mcld.stages.densepose import IUV_MEMBER
from mcld.stages.parts import PartOutput, PartWork
from mcld.storage import sha256_of_file, write_json
from mcld.types import ImageRecord

STAGE = "evaluate"
Pairs = tuple[GeneratedPair, ...]
PartScores = dict[Row, dict[str, list[float | None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateWork(PartWork[Pairs]):
    """Scores the pairs of one part: all rows, all metrics that a function gives."""

    suffix = ".scores.json"

    generate_dir: Path
    image_dir: Path
    densepose: Column
    targets: Mapping[str, ImageRecord]
    height_px: int
    width_px: int

    def inputs(self, payload: Pairs) -> object:
        """Every image's hash: generated, target and IUV."""
        return [[pair.id, pair.target, *self._hashes(pair)] for pair in payload]

    def build(self, payload: Pairs, *, path: Path) -> PartOutput:
        """Write the part's scores: row to metric to one value a pair."""
        metrics = pair_metrics(height_px=self.height_px, width_px=self.width_px)
        scores: PartScores = {row: {metric.name: [] for metric in metrics} for row in ROWS}
        iuvs = {
            part: self.densepose.read_part(part)
            for part in sorted({self._target(pair).part for pair in payload})
        }
        for pair in payload:
            target = self._target(pair)
            items = iuvs[target.part]
            if target.key not in items:
                raise DataError(
                    f"{STAGE}: pair {pair.id}: target {target.key} has no IUV map; run `mcld run densepose`"
                )
            for row, scored in self._rows(pair, target=target, iuv_png=items[target.key][IUV_MEMBER]).items():
                for metric in metrics:
                    assert metric.function is not None
                    scores[row][metric.name].append(metric.function(scored))
        write_json(path, value=scores)
        return PartOutput(num_items=len(payload))

    def _rows(self, pair: GeneratedPair, *, target: ImageRecord, iuv_png: bytes) -> dict[Row, ScoredPair]:
        """Every row's image beside the true target.

        A wrong pose, too, is judged by the pose that was asked for.
        """
        size = {"height_px": self.height_px, "width_px": self.width_px}
        target_image = protocols.resize(
            decode_image(read_image_bytes(target, root_dir=self.image_dir)), **size
        )
        target_iuv = protocols.resize_iuv(decode_iuv(iuv_png), **size)
        rows: dict[Row, ScoredPair] = {}
        for row in ROWS:
            image = target_image
            if row != "ground_truth":
                path = protocols.generated_path(self.generate_dir, row=row, pair_id=pair.id)
                image = protocols.read_generated(path, **size)
            rows[row] = ScoredPair(image=image, target=target_image, target_iuv=target_iuv)
        return rows

    def _hashes(self, pair: GeneratedPair) -> list[str]:
        target = self._target(pair)
        paths = [
            protocols.generated_path(self.generate_dir, row=row, pair_id=pair.id)
            for row in ROWS
            if row != "ground_truth"
        ]
        iuv_hash = self.densepose.record(target.part).sha256
        return [target.sha256, iuv_hash, *(sha256_of_file(path) for path in paths)]

    def _target(self, pair: GeneratedPair) -> ImageRecord:
        return self.targets[pair.target]
