"""Remember runs in MLflow: params, metrics by step, images, artifacts. Only `store` imports mlflow.

The default store is `mlflow.db` with `mlartifacts/` beside it, in the workspace: a file, no server.

What a run says goes into its journal (`.mcld/journal/IDENTITY/`) and from there, by a thread, to MLflow:
logging never waits, an MLflow that is away costs nothing but time, and nothing arrives twice.
"""

from mcld.tracking.delivery import BusyError, Delivery
from mcld.tracking.history import Point, RunHistory, read_history
from mcld.tracking.journals import JournalState, deliveries, state_of
from mcld.tracking.provenance import (
    FLOW_RUN_PAGE_VARIABLE,
    FLOW_RUN_VARIABLE,
    CodeState,
    code_state,
    code_tags,
    folder_digest,
    machine_tags,
)
from mcld.tracking.reading import RunReader, RunRecord, open_reader
from mcld.tracking.registry import CANDIDATE, CHAMPION, Registry, Version
from mcld.tracking.run import TrackedRun, default_uri, flatten, open_run
from mcld.tracking.store import StoreAwayError, shown
from mcld.tracking.views import save_view, view_of

__all__ = [
    "CANDIDATE",
    "CHAMPION",
    "FLOW_RUN_PAGE_VARIABLE",
    "FLOW_RUN_VARIABLE",
    "BusyError",
    "CodeState",
    "Delivery",
    "JournalState",
    "Point",
    "Registry",
    "RunHistory",
    "RunReader",
    "RunRecord",
    "StoreAwayError",
    "TrackedRun",
    "Version",
    "code_state",
    "code_tags",
    "default_uri",
    "deliveries",
    "flatten",
    "folder_digest",
    "machine_tags",
    "open_reader",
    "open_run",
    "read_history",
    "save_view",
    "shown",
    "state_of",
    "view_of",
]
