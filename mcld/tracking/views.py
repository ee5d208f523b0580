"""A view of an experiment, saved where MLflow's page looks for shared ones: a tag of the experiment.

`#/experiments/ID/runs?viewStateShareKey=KEY` opens it: a search, columns, and charts. MLflow 3.17 documents
neither the tag nor its fields; they are what its "Share" writes, and a test opens one in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcld.tracking.reading import RunReader, RunRecord

VIEW_TAG = "mlflow.sharedViewState."
PICTURES_SECTION = "mcld-pictures"
CARD_HEIGHT_PX = 300


def save_view(reader: RunReader, *, experiment_id: str, key: str, view: dict[str, Any]) -> str:
    """Save a view under a key, in the place of an earlier one; returns its address on MLflow's page."""
    reader.tag_experiment(experiment_id, key=f"{VIEW_TAG}{key}", value=json.dumps(view))
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={key}"


def view_of(
    runs: Sequence[RunRecord], *, search: str, tags: Sequence[str], images: Mapping[str, int]
) -> dict[str, Any]:
    """A table of the runs that `search` finds, by these tags, with metrics of the test pairs, and pictures.

    `images`: the step by key; a row a key, wide enough for several runs side by side.
    Without charts of its own the page would show every parameter above every picture.
    """
    metrics = sorted({name for run in runs for name in run.metrics if name.startswith("test.")})
    shown = [name for name in metrics if "/" in name and not name.startswith("test.controls/")]
    return {
        "searchFilter": search,
        "orderByKey": f"tags.`{tags[0]}`",
        "orderByAsc": True,
        "selectedColumns": [*(f"tags.`{tag}`" for tag in tags), *(f"metrics.`{name}`" for name in shown)],
        "compareRunSections": [
            {
                "uuid": PICTURES_SECTION,
                "name": "pairs",
                "display": True,
                "isReordered": False,
                "columns": 1,
                "cardHeight": CARD_HEIGHT_PX,
            }
        ],
        "compareRunCharts": [_picture_chart(key, step=step) for key, step in images.items()],
    }


def _picture_chart(key: str, *, step: int) -> dict[str, Any]:
    return {
        "uuid": f"mcld-{key}",
        "type": "IMAGE",
        "runsCountToCompare": 10,
        "metricSectionId": PICTURES_SECTION,
        "deleted": False,
        "isGenerated": False,
        "imageKeys": [key],
        "step": step,
        "showRunParams": False,
    }
