"""The paper's ablations B1, B3 and B5 beside the full model, on this folder's data, a run a variant and seed.

    python -m flows.ablations --seed 0 --seed 1 --seed 2

Each trains, generates and scores in a workspace of its own (.mcld/ablations/VARIANT-seed-N) that reads the
data and weights of this one. All land in this folder's MLflow, experiment `mcld-ablations`, tagged
`ablation`, `seed` and `profile`. Repeating the command goes on where it was stopped; the table is
.mcld/ablations/table.json.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Annotated

import typer
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.attempts import check_attempts
from flows.links import tell_flow_run
from mcld.cli.reports import run_and_keep_report
from mcld.cli.views import save_model_view
from mcld.config import PARAMS_PATH, Params, load_params
from mcld.errors import MCLDError
from mcld.stages.mapper import mapper_of
from mcld.stages.remember import tag_model
from mcld.stages.run_tags import ABLATIONS, profile_of
from mcld.stages.side_workspace import side_workspace, with_places_of
from mcld.storage import read_json, write_bytes, write_json
from mcld.tracking import default_uri
from mcld.workspace import Workspace

EXPERIMENT = "mcld-ablations"
STAGES_RUN = ("train", "generate", "evaluate")
EXIT_USER_ERROR = 2


@task(task_run_name="{variant} seed {seed}", cache_policy=NO_CACHE)
def run_variant(variant: str, seed: int) -> dict[str, float]:
    """Train, generate and score one variant; returns its metrics. Raises what the stages raise."""
    tell_flow_run()
    root = Workspace()
    base = load_params(root.root / PARAMS_PATH)
    params = params_of(base, variant=variant, seed=seed, root=root)
    workspace = side_workspace(root, folder=root.state_dir / "ablations" / f"{variant}-seed-{seed}")
    # JSON is YAML: `mcld compare` and `mcld export` work in the folder as in any other.
    write_bytes(workspace.root / PARAMS_PATH, data=params.model_dump_json(indent=1).encode() + b"\n")
    for stage in STAGES_RUN:
        run_and_keep_report(
            stage, params, workspace=workspace, mapper=mapper_of(params.runtime, workspace=workspace)
        )
        if stage == "train":
            tag_model(params, workspace=workspace, tags=_tags(base, variant=variant, seed=seed, root=root))
    metrics = read_json(workspace.metrics_dir / "evaluate.json")
    assert isinstance(metrics, dict)
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _tags(base: Params, *, variant: str, seed: int, root: Workspace) -> dict[str, str]:
    """What a saved search finds the run by, and the name that it has in tables."""
    tags = {"ablation": variant, "seed": str(seed), "mlflow.runName": f"{variant} seed {seed}"}
    profile = profile_of(base, root=root.root)
    return tags if profile is None else tags | {"profile": profile}


@flow(name="ablations")
def ablations(seeds: list[int]) -> dict[str, dict[str, list[float]]]:
    """All variants with all seeds, one after another: each uses the whole machine.

    Returns the metrics by variant, a value a seed; also written to .mcld/ablations/table.json.
    """
    check_attempts()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        for variant in ABLATIONS:
            found.setdefault(variant, []).append(run_variant(variant, seed))
            get_run_logger().info("%s, seed %d: done", variant, seed)
    table = {
        variant: {name: [one[name] for one in metrics if name in one] for name in metrics[0]}
        for variant, metrics in found.items()
    }
    write_json(Workspace().state_dir / "ablations" / "table.json", value={"seeds": seeds, "metrics": table})
    _save_view()
    return table


def _save_view() -> None:
    """Save the search that shows them all; without MLflow the table above is there all the same."""
    try:
        get_run_logger().info(save_model_view(Path(), experiment=EXPERIMENT))
    except MCLDError as error:
        get_run_logger().warning("%s; later, `mcld tracking view --experiment %s`", error, EXPERIMENT)


def params_of(params: Params, *, variant: str, seed: int, root: Workspace) -> Params:
    """These params with the variant's settings and seed, and with this folder's MLflow."""
    runtime = {
        "experiment": EXPERIMENT,
        "tracking_uri": params.runtime.tracking_uri or default_uri(root.root),
    }
    return with_places_of(params, root=root.root).model_copy(
        update={
            "model": params.model.model_copy(update=ABLATIONS[variant]),
            "train": params.train.model_copy(update={"seed": seed}),
            "runtime": params.runtime.model_copy(update=runtime),
        }
    )


def as_table(table: dict[str, dict[str, list[float]]]) -> str:
    """Mean and spread (half the range) over seeds, a line a metric, a column a variant."""
    names = [name for name in table["full"] if not name.startswith(("num_", "wrong_", "truth_"))]
    width = max(len(name) for name in names)
    lines = [f"{'':<{width}}" + "".join(f"{variant:>20}" for variant in table)]
    for name in names:
        cells = [_cell(metrics.get(name, [])) for metrics in table.values()]
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {(max(values) - min(values)) / 2:.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def main(
    seed: Annotated[list[int] | None, typer.Option(help="A seed; give it several times for several.")] = None,
) -> None:
    """Run all ablations here and print their table."""
    try:
        table = ablations(seed or [0])
    except MCLDError as error:
        sys.stderr.write(f"mcld: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    sys.stdout.write(as_table(table) + "\n")


if __name__ == "__main__":
    typer.run(main)
