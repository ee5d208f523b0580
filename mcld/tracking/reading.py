"""Read what MLflow knows of runs: params, metrics, curves, files. Training never waits for this."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mcld.errors import ConfigError, TrackingError
from mcld.tracking.store import (
    IDENTITY_TAG,
    RefusedError,
    RunGoneError,
    Store,
    StoreAwayError,
    open_store,
    shown,
    translated,
)

if TYPE_CHECKING:
    from mcld.tracking.store import Run

T = TypeVar("T")

MAX_SHOWN = 5
# Of a run that evaluates a checkpoint. Runs of models lack it, and by name those are meant first.
PARENT_TAG = "mlflow.parentRunId"
SYSTEM_TAGS = "mlflow."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What MLflow says of a run; `tags` without its own."""

    run_id: str
    name: str
    experiment_id: str
    experiment: str
    identity: str | None
    parent_id: str | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]  # the last point of each
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReader:
    """Reads one store. Every method raises TrackingError where the store does not answer."""

    store: Store
    tracking_uri: str

    def find(self, wanted: str) -> RunRecord:
        """The run of that id or name. Raises ConfigError when there is none, or several of the name."""
        named = self.search(f"attributes.run_name = '{_quotable(wanted)}'")
        tops = [run for run in named if run.parent_id is None] or named
        if len(tops) == 1:
            return tops[0]
        if tops:
            listed = ", ".join(run.run_id for run in tops[:MAX_SHOWN])
            raise ConfigError(f"'{wanted}': {len(tops)} runs have this name ({listed}); give the id of one")
        found = self.by_id(wanted)
        if found is None:
            raise ConfigError(
                f"'{wanted}': neither a folder here nor the name or id of a run at "
                f"{shown(self.tracking_uri)}{self._examples()}"
            )
        return found

    def by_id(self, run_id: str) -> RunRecord | None:
        """The run of an id; None where there is none, or it was deleted."""
        with self._answers():
            try:
                with translated():
                    run = self.store.client.get_run(run_id)
                    experiment = self.store.client.get_experiment(run.info.experiment_id)
            except (RunGoneError, RefusedError):
                return None
        return _record(run, experiment=experiment.name) if run.info.lifecycle_stage == "active" else None

    def by_identity(self, identity: str) -> RunRecord | None:
        """The oldest run that is tagged with an identity, as in `Store.find_or_make_run`."""
        found = self.search(f"tags.`{IDENTITY_TAG}` = '{_quotable(identity)}'")
        return found[-1] if found else None

    def search(self, condition: str) -> list[RunRecord]:
        """Runs of all experiments that meet a condition of MLflow's search, newest first.

        Raises ConfigError when MLflow does not understand the condition.
        """
        with self._answers(), _refusal(ConfigError, place=f"search '{condition}'"), translated():
            experiments = {one.experiment_id: one.name for one in self.store.client.search_experiments()}
            runs = self.store.client.search_runs(
                list(experiments), condition, order_by=["attributes.start_time DESC"], max_results=1000
            )
        return [_record(run, experiment=experiments[run.info.experiment_id]) for run in runs]

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """A metric's points by step; where a step has several, the one that was logged last."""
        with self._answers(), _refusal(TrackingError, place=f"metric {metric}"), translated():
            points = self.store.client.get_metric_history(run_id, metric)
        latest = {point.step: point.value for point in sorted(points, key=lambda point: point.timestamp)}
        return sorted(latest.items())

    def artifacts(self, run_id: str, folder: str) -> list[str]:
        """Paths of the artifacts in a folder; none where there is no such folder."""
        with self._answers(), _refusal(TrackingError, place=f"artifacts of run {run_id}"), translated():
            return [item.path for item in self.store.client.list_artifacts(run_id, folder)]

    def artifact(self, run_id: str, path: str) -> bytes | None:
        """An artifact's bytes; None where the run has none of that path."""
        known = self.artifacts(run_id, path.rpartition("/")[0])
        return self.download(run_id, path) if path in known else None

    def download(self, run_id: str, path: str) -> bytes:
        """The bytes of an artifact that `artifacts` names."""
        with (
            tempfile.TemporaryDirectory() as folder,
            self._answers(),
            _refusal(TrackingError, place=f"artifact {path} of run {run_id}"),
            translated(),
        ):
            return Path(self.store.client.download_artifacts(run_id, path, folder)).read_bytes()

    def tag_experiment(self, experiment_id: str, *, key: str, value: str) -> None:
        """Set a tag of an experiment."""
        with self._answers(), _refusal(TrackingError, place=f"tag {key}"), translated():
            self.store.client.set_experiment_tag(experiment_id, key, value)

    def _examples(self) -> str:
        names = [run.name for run in self.search("")[:MAX_SHOWN]]
        return f"; the newest runs are: {', '.join(names)}" if names else "; there are no runs yet"

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except StoreAwayError as error:
            raise TrackingError(
                f"MLflow at {shown(self.tracking_uri)} does not answer ({error}); repeat when it is back"
            ) from error


def open_reader(tracking_uri: str, *, root: Path) -> RunReader:
    """A reader of the store at an address. Raises TrackingError when it does not answer."""
    try:
        return RunReader(store=open_store(tracking_uri, root=root), tracking_uri=tracking_uri)
    except (StoreAwayError, RefusedError) as error:
        raise TrackingError(f"MLflow at {shown(tracking_uri)} does not answer ({error})") from error


@contextmanager
def _refusal(kind: type[ConfigError] | type[TrackingError], *, place: str) -> Iterator[None]:
    try:
        yield
    except (RefusedError, RunGoneError) as error:
        raise kind(f"{place}: MLflow refuses it: {error}") from error


def _quotable(text: str) -> str:
    """Text for between the quotes of MLflow's search, which knows no escapes."""
    if "'" in text:
        raise ConfigError(f'"{text}": names with quotes cannot be searched for; give the id of the run')
    return text


def _record(run: Run, *, experiment: str) -> RunRecord:
    tags = dict(run.data.tags)
    return RunRecord(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        experiment_id=str(run.info.experiment_id),
        experiment=experiment,
        identity=tags.get(IDENTITY_TAG),
        parent_id=tags.get(PARENT_TAG),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags={key: value for key, value in tags.items() if not key.startswith(SYSTEM_TAGS)},
    )
