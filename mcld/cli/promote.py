"""`mcld promote`: make a run's model the champion, if it is better than the present one beyond chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mcld.cli.compare import reader_of
from mcld.errors import DataError, PromotionError

if TYPE_CHECKING:
    from mcld.evaluation.intervals import Difference
    from mcld.evaluation.run_scores import RunScores
    from mcld.tracking import Registry, RunReader, RunRecord, Version

MODEL_ARTIFACT = "model"
PROMOTED_TAG = "mcld.promoted"


def promote(wanted: str | None, *, metric: str, name: str, root: Path) -> str:
    """Register the model of a run (default: of this folder) as candidate, and as champion where it earns it.

    It does where there is no champion yet, or where it is better in `metric`, pair by pair, outside the
    interval. Returns what to say. Raises PromotionError with the numbers where it is not, DataError for a run
    without a model or that metric, TrackingError where MLflow does not answer.
    """
    from mcld.tracking import CANDIDATE, CHAMPION, Registry

    reader = reader_of(root)
    record = _run(wanted, reader=reader, root=root)
    scores = _scores(record, reader=reader, metric=metric)
    registry = Registry(reader=reader, name=name)
    version = _register(record, scores=scores, registry=registry)
    registry.point(CANDIDATE, version)
    champion = registry.with_alias(CHAMPION)
    title = f"{name} version {version.version} ({record.name})"
    if champion is None:
        registry.point(CHAMPION, version)
        registry.tag(version, values={PROMOTED_TAG: "the first"})
        return f"{title}: champion, the first of this name"
    if champion.run_id == record.run_id:
        return f"{title}: is the champion"
    reason = _judged(champion, record=record, scores=scores, reader=reader, metric=metric, title=title)
    registry.point(CHAMPION, version)
    registry.tag(version, values={PROMOTED_TAG: reason})
    return f"{title}: champion; {reason}"


def _judged(
    champion: Version, *, record: RunRecord, scores: RunScores, reader: RunReader, metric: str, title: str
) -> str:
    """Why the run is better than the champion's. Raises PromotionError where it is not."""
    from mcld.evaluation.run_scores import difference_to

    theirs = reader.by_id(champion.run_id)
    if theirs is None:
        raise DataError(
            f"champion, version {champion.version}: its run {champion.run_id} was deleted, so nothing can be "
            "compared with it; restore the run, or move the alias 'champion' on MLflow's page"
        )
    first = _scores(theirs, reader=reader, metric=metric)
    found = difference_to(first, scores, name=metric)
    against = f"champion version {champion.version} ({theirs.name})"
    if found is None:
        raise PromotionError(
            f"{title}: stays candidate; {metric} cannot be compared pair by pair with {against}: both need "
            "scores by pair, of one image size and of some pairs that both have"
        )
    numbers = f"{metric} {describe(found)} against {against}"
    if found.verdict != "better":
        meaning = "worse" if found.verdict == "worse" else "no difference is shown"
        raise PromotionError(f"{title}: stays candidate; {numbers}: {meaning}")
    return numbers


def describe(found: Difference) -> str:
    """A difference with its interval and what it rests on."""
    interval = "no interval" if found.low is None else f"{found.low:+.4f} to {found.high:+.4f}"
    mean = "undefined" if found.mean is None else f"{found.mean:+.4f}"
    return f"{mean} ({interval}; {found.num_pairs} pairs of {found.num_groups} outfits)"


def _run(wanted: str | None, *, reader: RunReader, root: Path) -> RunRecord:
    if wanted is not None:
        return reader.find(wanted)
    from mcld.stages.remember import identity_of_model
    from mcld.workspace import Workspace

    found = reader.by_identity(identity_of_model(Workspace(root=root)))
    if found is None:
        raise DataError(
            f"{root.resolve()}: MLflow does not have this folder's run; `mcld tracking sync`, or name a run"
        )
    return found


def _scores(record: RunRecord, *, reader: RunReader, metric: str) -> RunScores:
    from mcld.stages.compared_runs import scores_of_record

    scores = scores_of_record(record, reader=reader)
    if scores is None:
        raise DataError(f"run {record.name}: has no evaluation in MLflow; run `mcld run evaluate` for it")
    if metric not in scores.scores:
        raise DataError(
            f"run {record.name}: its evaluation has no '{metric}'; it has: {', '.join(sorted(scores.scores))}"
        )
    return scores


def _register(record: RunRecord, *, scores: RunScores, registry: Registry) -> Version:
    from mcld.evaluation.card import evaluation_section

    if not registry.reader.artifacts(record.run_id, MODEL_ARTIFACT):
        raise DataError(
            f"run {record.name}: has no artifact '{MODEL_ARTIFACT}'; only finished runs of models do"
        )
    steps = record.params.get("train.steps", "?")
    facts = f"Trained for {steps} steps on {record.params.get('dataset.source', '?')}, run {record.name}."
    description = f"{facts}\n\n## Evaluation\n\n{evaluation_section(scores)}\n"
    return registry.register(record.run_id, artifact_path=MODEL_ARTIFACT, description=description)
