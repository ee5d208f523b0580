"""`mcld tracking view`: the saved search that shows trained models as a table, and their pictures."""

from __future__ import annotations

from pathlib import Path

from mcld.cli.compare import reader_of
from mcld.errors import ConfigError

VIEW_KEY = "models"
SEARCH = "tags.ablation LIKE '%'"
TAGS = ("ablation", "seed", "profile")


def save_model_view(root: Path, *, experiment: str | None = None) -> str:
    """Save the view in an experiment (default: that of params.yaml); returns what to say of it.

    Raises ConfigError for an experiment without such runs, TrackingError where MLflow does not answer.
    """
    from mcld.config import PARAMS_PATH, load_params
    from mcld.stages.compared_runs import newest_images
    from mcld.stages.evaluation_record import STRIP_KEY
    from mcld.tracking import save_view, shown, view_of

    reader = reader_of(root)
    name = experiment or load_params(root / PARAMS_PATH).runtime.experiment
    runs = [run for run in reader.search(SEARCH) if run.experiment == name]
    if not runs:
        raise ConfigError(f"experiment '{name}': has no run of a training at {shown(reader.tracking_uri)}")
    paths = reader.artifacts(runs[0].run_id, "images")
    images = {
        key.replace("~", "/"): step
        for key, (step, _) in sorted(newest_images(paths).items())
        if key.startswith(STRIP_KEY)
    }
    view = view_of(runs, search=SEARCH, tags=TAGS, images=images)
    address = save_view(reader, experiment_id=runs[0].experiment_id, key=VIEW_KEY, view=view)
    place = reader.tracking_uri if reader.tracking_uri.startswith("http") else "http://127.0.0.1:5000"
    hint = "" if reader.tracking_uri.startswith("http") else "`make ui`, then "
    return f"{len(runs)} runs by {', '.join(TAGS)}: {hint}{shown(place)}/{address}"
