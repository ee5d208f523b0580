"""Speak to an MLflow store, a server or a database file. The only module that imports mlflow.

Everything here may be said twice and is kept once: MLflow's SQL store keeps a point by (run, metric, time,
step, value), a param by its name, a data set by name and digest, and artifacts have names that do not change.
The fluent API is not thread-safe and keeps a global active run, so everything goes through `MlflowClient`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from mcld.tracking.events import (
    DatasetUsed,
    Event,
    FileLogged,
    ImageLogged,
    ParamsLogged,
    PointsLogged,
    RunWanted,
    StatusSet,
    TagsSet,
    TextLogged,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as Run
    from mlflow.entities.model_registry import ModelVersion as ModelVersion

IDENTITY_TAG = "mcld.identity"
REQUEST_TIMEOUT_S = 20
POINTS_PER_CALL = 1000
VALUES_PER_CALL = 100  # params, and tags
THUMBNAIL_PX = 256  # as MLflow's own
# What a store says about a request that will never please it. All else may be better the next time.
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE")
NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
ANSWERS_TO_TRY_AGAIN = (401, 403, 408, 429)

# Events that one call may carry together.
Batched: TypeAlias = RunWanted | ParamsLogged | PointsLogged | TagsSet


class StoreAwayError(Exception):
    """The store does not answer, or not as it should: try again later."""


class RefusedError(Exception):
    """The store will never take this event."""


class RunGoneError(Exception):
    """The run was deleted."""


@dataclass(frozen=True, slots=True)
class CallLoad:
    """How much of a call's room events take."""

    num_points: int
    num_params: int
    num_tags: int

    @classmethod
    def of(cls, event: Event) -> CallLoad | None:
        """The load of an event; None for one that goes in a call of its own."""
        match event:
            case PointsLogged():
                return cls(len(event.points), 0, 0)
            case ParamsLogged():
                return cls(0, len(event.values), 0)
            case TagsSet():
                return cls(0, 0, len(event.values))
            case RunWanted():
                return cls(0, 0, 0)
            case _:
                return None

    def __add__(self, other: CallLoad) -> CallLoad:
        return CallLoad(
            self.num_points + other.num_points,
            self.num_params + other.num_params,
            self.num_tags + other.num_tags,
        )

    @property
    def fits(self) -> bool:
        """Whether one call carries it. MLflow counts all three together against the limit of points."""
        return (
            self.num_points + self.num_params + self.num_tags <= POINTS_PER_CALL
            and self.num_params <= VALUES_PER_CALL
            and self.num_tags <= VALUES_PER_CALL
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One MLflow store. Each method may block for as long as a request does, so call them from a thread."""

    client: MlflowClient
    root: Path  # file references are below it

    def find_or_make_run(self, wanted: RunWanted, *, identity: str) -> str:
        """The id of the run that is tagged with `identity`.

        A run that belongs under another is made once that one is there, and else counts as a store that is
        away: the other's journal is sent first. Looked for first, so a kill between making and recording it
        makes no second one. A request that timed out may still make one later: of several the oldest counts,
        and those that are empty are deleted.
        """
        with translated():
            experiment_id = self._experiment_id(wanted)
            if not self._runs(identity, experiment_id=experiment_id):
                self.client.create_run(
                    experiment_id,
                    start_time=wanted.time_ms,
                    tags={IDENTITY_TAG: identity} | self._parent_tag(wanted, experiment_id=experiment_id),
                    run_name=wanted.name,
                )
            oldest, *others = self._runs(identity, experiment_id=experiment_id)
            for run in others:
                if not (run.data.metrics or run.data.params):
                    self.client.delete_run(run.info.run_id)
        return str(oldest.info.run_id)

    def has_run(self, run_id: str) -> bool:
        """Whether the run is there and not deleted."""
        try:
            with translated():
                return str(self.client.get_run(run_id).info.lifecycle_stage) == "active"
        except RunGoneError:
            return False

    def send(self, run_id: str, events: Sequence[Event]) -> None:
        """Send events whose loads fit into one call together, or one event of any kind.

        Raises StoreAwayError, RefusedError or RunGoneError.
        """
        with translated():
            if all(isinstance(event, Batched) for event in events):
                self._send_batch(run_id, events)
                return
            [event] = events
            self._send_one(run_id, event)

    def _send_batch(self, run_id: str, events: Sequence[Event]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        params: dict[str, str] = {}
        tags: dict[str, str] = {}
        metrics = []
        for event in events:
            match event:
                case ParamsLogged():
                    params |= event.values
                case TagsSet():
                    tags |= event.values
                case PointsLogged():
                    metrics += [Metric(key, value, event.time_ms, step) for key, step, value in event.points]
        if params or tags or metrics:
            self.client.log_batch(
                run_id,
                metrics=metrics,
                params=[Param(key, value) for key, value in params.items()],
                tags=[RunTag(key, value) for key, value in tags.items()],
            )

    def _send_one(self, run_id: str, event: Event) -> None:
        match event:
            case FileLogged():
                self.client.log_artifact(run_id, str(self.root / event.file.path), event.artifact_dir or None)
            case TextLogged():
                self.client.log_text(run_id, event.text, event.artifact_file)
            case ImageLogged():
                self._send_image(run_id, event)
            case DatasetUsed():
                self._send_dataset(run_id, event)
            case StatusSet(status="RUNNING"):
                self.client.update_run(run_id, status="RUNNING")
            case StatusSet():
                self.client.set_terminated(run_id, event.status, event.time_ms)
            case _:
                raise AssertionError(event)

    def _send_image(self, run_id: str, event: ImageLogged) -> None:
        """Store an image and its small copy, named as MLflow's image panel reads it (see `image_name`)."""
        from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_IMAGES
        from PIL import Image

        name = PurePosixPath(image_name(event))
        with tempfile.TemporaryDirectory() as folder:
            whole, small = Path(folder) / f"{name.name}.png", Path(folder) / f"{name.name}+compressed.webp"
            whole.write_bytes((self.root / event.file.path).read_bytes())
            with Image.open(whole) as image:
                copy = image.convert("RGB")
                copy.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
                copy.save(small)
            for path in (whole, small):
                self.client.log_artifact(run_id, str(path), str(name.parent))
        self.client.set_tag(run_id, MLFLOW_LOGGED_IMAGES, "True")

    def _send_dataset(self, run_id: str, event: DatasetUsed) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=event.name,
            digest=event.digest,
            source_type=event.source_type,
            source=json.dumps({"uri": event.source}),
        )
        context = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(run_id, datasets=[DatasetInput(dataset=dataset, tags=[context])])

    def _parent_tag(self, wanted: RunWanted, *, experiment_id: str) -> dict[str, str]:
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        if wanted.parent is None:
            return {}
        found = self._runs(wanted.parent, experiment_id=experiment_id)
        if not found:
            raise StoreAwayError(f"the run {wanted.name} belongs under is not there yet")
        return {MLFLOW_PARENT_RUN_ID: str(found[0].info.run_id)}

    def _experiment_id(self, wanted: RunWanted) -> str:
        found = self.client.get_experiment_by_name(wanted.experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(
            self.client.create_experiment(wanted.experiment, artifact_location=wanted.artifact_location)
        )

    def _runs(self, identity: str, *, experiment_id: str) -> list[Run]:
        found = self.client.search_runs([experiment_id], f"tags.`{IDENTITY_TAG}` = '{identity}'")
        return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))


def load_mlflow() -> None:
    """Import MLflow, with its client told to fail fast: it would try again for minutes, we do so better.

    What a user has set stays as it is. MLflow reads these at each request.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_TIMEOUT_S))
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # ours is for results
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow  # noqa: F401


def open_store(tracking_uri: str, *, root: Path) -> Store:
    """The store at an address; a database file is made if there is none. Raises StoreAwayError."""
    load_mlflow()
    from mlflow import MlflowClient

    with translated():
        return Store(client=MlflowClient(tracking_uri=tracking_uri), root=root)


def image_name(event: ImageLogged) -> str:
    """Artifact path of an image, without its ending: the same however often it is sent.

    As MlflowClient.log_image writes and the panel reads it, `images/KEY+step+STEP+timestamp+MS+ID`, where
    MLflow draws ID by chance; ours says no more than KEY, STEP and MS do.
    """
    key = event.key.replace("/", "~")
    return f"images/{key}+step+{event.step}+timestamp+{event.time_ms}+mcld"


def shown(tracking_uri: str) -> str:
    """An address without the password that may be in it."""
    parts = urlsplit(tracking_uri)
    return (
        urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        if "@" in parts.netloc
        else tracking_uri
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what MLflow and its HTTP client raise into the three answers that matter here."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError, RequestException

    try:
        yield
    except MlflowException as error:
        # Of a connection that fails MLflow tells all, in many lines' length.
        cause = error.__context__
        reason = type(cause).__name__ if isinstance(cause, RequestException) else _first_line(error)
        if error.error_code in NO_SUCH_RUN:
            raise RunGoneError(reason) from error
        if error.error_code in REFUSALS:
            raise RefusedError(reason) from error
        raise StoreAwayError(reason) from error
    except HTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        refuses = 400 <= code < 500 and code not in ANSWERS_TO_TRY_AGAIN
        raise (RefusedError if refuses else StoreAwayError)(_first_line(error)) from error
    except (RequestException, OSError) as error:
        raise StoreAwayError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
