"""One MLflow run as the rest of the code sees it: say what happened, and go on at once."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from mcld.tracking.delivery import Delivery
from mcld.tracking.events import (
    DatasetUsed,
    Event,
    FileLogged,
    ImageLogged,
    ParamsLogged,
    PointsLogged,
    RunWanted,
    Status,
    StatusSet,
    TagsSet,
    TextLogged,
    reference,
)
from mcld.tracking.journal import Journal
from mcld.tracking.sender import Sender
from mcld.tracking.store import POINTS_PER_CALL, VALUES_PER_CALL, load_mlflow, shown
from mcld.tracking.system_metrics import SystemWatch

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Where MLflow's pages and `mlflow.load_table` look up which artifacts are tables.
TABLES_TAG = "mlflow.loggedArtifacts"
# A whole model may be on its way.
CLOSE_TIMEOUT_S = 600.0
# A server that is away is not waited for: what is kept will be sent.
CLOSE_AWAY_TIMEOUT_S = 10.0


@dataclass(slots=True, kw_only=True)
class TrackedRun:
    """A run to write to. No method waits for MLflow, but `flush` and `close`, and those no longer than told.

    Points of a metric at steps that were logged already are dropped: a resumed training repeats some.
    """

    journal: Journal
    delivery: Delivery
    sender: Sender
    root: Path
    _watch: SystemWatch | None = field(default=None, init=False)
    _has_failed: bool = field(default=False, init=False)

    def run_id(self) -> str | None:
        """MLflow's id of the run; None until the store has been reached once."""
        return self.delivery.receipt().run_id

    def start(self) -> None:
        """Say that the run goes on, also when it was finished or killed before."""
        self._say(StatusSet(time_ms=_now_ms(), status="RUNNING"))

    def log_params(self, params: Mapping[str, object]) -> None:
        """Log nested params flattened with dots. MLflow lets none change: a new value is a warning."""
        values = [(key, str(value)) for key, value in flatten(params).items()]
        pieces = _pieces(values, size=VALUES_PER_CALL)
        self._say(*(ParamsLogged(values=dict(piece)) for piece in pieces))

    def log_series(self, name: str, *, values: Sequence[tuple[int, float]]) -> None:
        """Log (step, value) points of one metric."""
        self._log_points([(name, step, value) for step, value in values])

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0, corrects: bool = False) -> None:
        """Log single values. With `corrects` a new value of a step that has one already is logged as well."""
        self._log_points([(name, step, value) for name, value in metrics.items()], corrects=corrects)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        pieces = _pieces(list(tags.items()), size=VALUES_PER_CALL)
        self._say(*(TagsSet(values=dict(piece)) for piece in pieces))

    def log_image(self, path: Path, *, key: str, step: int) -> None:
        """Show a PNG under `key` at `step` in the run's image panel, in the place of an earlier one."""
        file = reference(path, root=self.root)
        self._say(ImageLogged(time_ms=_now_ms(), key=key, step=step, file=file))

    def log_file(self, path: Path, *, artifact_path: str | None = None) -> None:
        """Store one file as an artifact, below the folder `artifact_path`."""
        self._say(FileLogged(artifact_dir=artifact_path or "", file=reference(path, root=self.root)))

    def log_table(self, path: Path, *, artifact_path: str) -> None:
        """Store a JSON file of `columns` and `data` (rows) so that MLflow shows and compares it as a table.

        MlflowClient.log_table would append to a table that is there: a repeated command, twice the rows.
        """
        known = json.loads(self.journal.memory.tags.get(TABLES_TAG, "[]"))
        table = {"path": f"{artifact_path}/{path.name}", "type": "table"}
        self.log_file(path, artifact_path=artifact_path)
        self.set_tags({TABLES_TAG: json.dumps(known if table in known else [*known, table])})

    def log_folder(self, path: Path, *, artifact_path: str, hashed: bool = True) -> None:
        """Store a folder's files as artifacts. `hashed` reads them all now; else their times tell changes."""
        files = sorted(file for file in path.rglob("*") if file.is_file())
        base = Path(artifact_path)
        self._say(
            *(
                FileLogged(
                    artifact_dir=(base / file.parent.relative_to(path)).as_posix(),
                    file=reference(file, root=self.root, hashed=hashed),
                )
                for file in files
            )
        )

    def log_json(self, value: object, *, artifact_file: str) -> None:
        """Store plain data as a JSON artifact."""
        text = json.dumps(value, indent=1, sort_keys=True) + "\n"
        self._say(TextLogged(artifact_file=artifact_file, text=text))

    def log_dataset(self, name: str, *, digest: str, source: str) -> None:
        """Name a data set as an input of the run. `digest`: at most 36 characters, as many as DVC's has."""
        source_type = source.partition("://")[0] if "://" in source else "local"
        self._say(DatasetUsed(name=name, digest=digest, source=source, source_type=source_type))

    def log_checkpoint(self, path: Path, *, sha256: str, step: int, upload: bool) -> None:
        """Say where a checkpoint lies (`checkpoints/step-N.json`); `upload` sends its files as well.

        The files are not hashed here; those that are deleted before they are sent are warned of.
        """
        facts = {"step": step, "path": str(path.resolve()), "sha256": sha256}
        self.log_json(facts, artifact_file=f"checkpoints/step-{step:08d}.json")
        if upload and path.is_dir():
            self.log_folder(path, artifact_path=f"checkpoints/step-{step:08d}", hashed=False)
        elif upload:
            file = reference(path, root=self.root, hashed=False)
            self._say(FileLogged(artifact_dir=f"checkpoints/step-{step:08d}", file=file))

    def watch_system(self) -> None:
        """Sample this machine's load every few seconds until `close`, numbered on from where it stopped."""
        last = self.journal.memory.last_points.get("system/cpu_utilization_percentage")
        self._watch = SystemWatch(
            disk=self.root, first_sample=last[0] + 1 if last is not None else 0, log=self._log_sample
        )
        self._watch.start()

    def finish(self, status: Status = "FINISHED") -> None:
        """Say that the run is over, and how."""
        self._say(StatusSet(time_ms=_now_ms(), status=status))

    def flush(self, timeout_s: float, *, away_timeout_s: float | None = None) -> bool:
        """Wait until all that was said is in MLflow; whether it is. See `Sender.wait`."""
        return self.sender.wait(timeout_s=timeout_s, away_timeout_s=away_timeout_s)

    def close(
        self, *, timeout_s: float = CLOSE_TIMEOUT_S, away_timeout_s: float = CLOSE_AWAY_TIMEOUT_S
    ) -> bool:
        """Send what is left, within bounds, and stop; whether all is sent. The rest stays in the journal."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        is_sent = self.sender.wait(timeout_s=timeout_s, away_timeout_s=away_timeout_s)
        self.sender.stop()
        if not is_sent:
            receipt = self.delivery.receipt()
            logger.warning(
                "%d events are not in MLflow at %s yet; they are kept in %s and sent by the next command "
                "that uses the run, or by `mcld tracking sync`",
                sum(1 for _ in self.journal.read(receipt.position)),
                shown(receipt.tracking_uri),
                self.journal.directory,
            )
        return is_sent

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error nobody should wait long to read it.
        self.close(timeout_s=CLOSE_TIMEOUT_S if error is None else CLOSE_AWAY_TIMEOUT_S)

    def _log_points(self, points: Sequence[tuple[str, int, float]], *, corrects: bool = False) -> None:
        now_ms = _now_ms()
        pieces = _pieces(points, size=POINTS_PER_CALL)
        events = [PointsLogged(time_ms=now_ms, points=tuple(piece)) for piece in pieces]
        self._say(*events, corrects=corrects)

    def _log_sample(self, values: Mapping[str, float], sample: int) -> None:
        self.log_metrics(values, step=sample)

    def _say(self, *events: Event, corrects: bool = False) -> None:
        """Journal events. A disk that takes none is said once; it is no reason to stop a training."""
        try:
            self.journal.append(events, corrects=corrects)
        except OSError as error:
            if not self._has_failed:
                logger.error("%s: cannot be written (%s); events are lost", self.journal.directory, error)
            self._has_failed = True
        else:
            self._has_failed = False


def open_run(
    *,
    state_dir: Path,
    root: Path,
    tracking_uri: str | None,
    experiment: str,
    identity: str,
    name: str,
    parent: str | None = None,
) -> TrackedRun:
    """The run of `identity` (a fingerprint): the same one when a command is repeated, else a new one.

    `parent` is the identity of the run below which MLflow shows it. Needs no server: the run is made when
    the store is reached. What earlier commands left is sent first.
    """
    load_mlflow()  # here, not in the thread, where it would race with what its caller imports
    journal = Journal(state_dir / "journal" / identity)
    uri = tracking_uri or default_uri(root)
    location = (root / "mlartifacts").resolve().as_uri() if uri == _file_uri(root) else None
    wanted = RunWanted(
        time_ms=_now_ms(),
        tracking_uri=uri,
        experiment=experiment,
        name=name,
        # A server knows where its artifacts go; the local file must be told to keep them beside itself.
        artifact_location=location,
        parent=parent,
    )
    journal.append([wanted])
    delivery = Delivery(journal=journal, identity=identity, root=root.resolve())
    sender = Sender(delivery)
    sender.start()
    return TrackedRun(journal=journal, delivery=delivery, sender=sender, root=root)


def default_uri(root: Path) -> str:
    """The store that is used when params name none: that of MLFLOW_TRACKING_URI, or else a file here."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _file_uri(root)


def _file_uri(root: Path) -> str:
    return f"sqlite:///{(root / 'mlflow.db').resolve()}"


def flatten(values: Mapping[str, object], *, prefix: str = "") -> dict[str, object]:
    """Nested mappings to dotted keys."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, prefix=f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _pieces(values: Sequence[T], *, size: int) -> list[Sequence[T]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
