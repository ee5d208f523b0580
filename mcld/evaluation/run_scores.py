"""What an evaluation left behind, read back: the generated row's numbers, and the scores of its pairs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from mcld.errors import DataError
from mcld.evaluation.intervals import Difference, paired_difference
from mcld.evaluation.metrics import METRICS, Metric
from mcld.evaluation.protocols import Row

ROW: Row = "generated"
NOT_METRICS = ("row", "id", "source", "target")
PairKey = tuple[str, str]  # image keys of source and target

_BY_NAME = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A metric's value with its 95 % interval, where it has one."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScores:
    """The generated row pair by pair: a metric's values are in the order of `keys`, None where undefined."""

    keys: tuple[PairKey, ...]
    values: Mapping[str, tuple[float | None, ...]]

    def of(self, name: str) -> dict[PairKey, float | None]:
        """One metric by pair."""
        return dict(zip(self.keys, self.values[name], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScores:
    """All that one evaluation says of the generated images. `size_px` is height and width."""

    scores: Mapping[str, Score]
    pairs: PairScores | None
    num_pairs: int | None
    size_px: tuple[int, int] | None


def read_run_scores(rows: object, *, per_pair: bytes | None, place: str) -> RunScores:
    """Read rows.json (as plain data) and per_pair.parquet (as bytes) of the stage `evaluate`.

    Raises DataError, naming `place`, when they are not that.
    """
    try:
        found = cast("Mapping[str, Mapping[str, Mapping[str, Mapping[str, float | None]]]]", rows)
        cells = {
            name: Score(value=cell["mean"], low=cell["low"], high=cell["high"])
            for name, cell in found["rows"][ROW].items()
        }
        # Metrics of a whole set of images, such as FID, have no pairs.
        cells |= {
            name: Score(value=cell["value"], low=cell.get("low"), high=cell.get("high"))
            for name, cell in found.get("sets", {}).get(ROW, {}).items()
        }
        plain = cast("Mapping[str, int]", rows)
        return RunScores(
            scores=cells,
            pairs=None if per_pair is None else read_pair_scores(per_pair, place=place),
            num_pairs=int(plain["num_pairs"]),
            size_px=(int(plain["height_px"]), int(plain["width_px"])),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{place}: not what the stage 'evaluate' writes ({error!r}); run it again") from error


def read_pair_scores(data: bytes, *, place: str) -> PairScores:
    """Read the generated row of per_pair.parquet. Raises DataError, naming `place`, when it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        lines = [line for line in table.to_pylist() if line["row"] == ROW]
        names = [
            field.name
            for field in table.schema
            if field.name not in NOT_METRICS and pa.types.is_floating(field.type)
        ]
        return PairScores(
            keys=tuple((str(line["source"]), str(line["target"])) for line in lines),
            values={name: tuple(line[name] for line in lines) for name in names},
        )
    except (pa.ArrowException, KeyError) as error:
        raise DataError(f"{place}: per_pair.parquet is damaged ({error}); evaluate again") from error


def difference_to(first: RunScores, run: RunScores, *, name: str) -> Difference | None:
    """How a run differs from the first one in a metric, over the pairs of both (drawn by outfit).

    The verdict is the run's. None where the metric has no scores by pair on both sides, or no pair is shared.
    """
    if first.pairs is None or run.pairs is None or first.size_px != run.size_px:
        return None
    if name not in first.pairs.values or name not in run.pairs.values or name not in _BY_NAME:
        return None
    theirs, ours = first.pairs.of(name), run.pairs.of(name)
    shared = [key for key in ours if key in theirs]
    if not shared:
        return None
    return paired_difference(
        [ours[key] for key in shared],
        [theirs[key] for key in shared],
        groups=[outfit_of(target) for _, target in shared],
        direction=_BY_NAME[name].direction,
    )


def listed_metrics(runs: Sequence[RunScores]) -> tuple[Metric, ...]:
    """The metrics that any of the runs has a value of, in the registry's order."""
    return tuple(metric for metric in METRICS if any(metric.name in run.scores for run in runs))


def outfit_of(key: str) -> str:
    """The outfit part of an image key `outfit/view`."""
    return key.rpartition("/")[0]
