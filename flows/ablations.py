"""The paper's ablations B1, B3 and B5 beside the full model, on this folder's data, a run a variant and seed.

    python -m flows.ablations --seed 0 --seed 1 --seed 2

Each trains, generates and scores in a workspace of its own (.mcld/ablations/VARIANT-seed-N) that reads the
data and weights of this one. All land in this folder's MLflow, experiment `mcld-ablations`, tagged `ablation`
and `seed`. Repeating the command goes on where it was stopped; the table is .mcld/ablations/table.json.
"""

from __future__ import annotations

import statistics
import sys
from typing import Annotated

import typer
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from mcld.cli.reports import run_and_keep_report
from mcld.config import PARAMS_PATH, Params, load_params
from mcld.errors import DataError, MCLDError
from mcld.stages import STAGES
from mcld.stages.mapper import local_mapper
from mcld.stages.remember import tag_model
from mcld.storage import read_json, write_json
from mcld.tracking import default_uri
from mcld.workspace import Workspace

EXPERIMENT = "mcld-ablations"
# What the paper's table calls them, and the settings of `model` in which they differ from the full model.
VARIANTS: dict[str, dict[str, object]] = {
    "B1": {"use_texture": False, "use_face": False},
    "B3": {"aggregation": "concat"},
    "B5": {"use_face": False},
    "full": {},
}
STAGES_BEFORE = tuple(spec.name for spec in STAGES[: [spec.name for spec in STAGES].index("train")])
STAGES_RUN = ("train", "generate", "evaluate")
EXIT_USER_ERROR = 2


@task(task_run_name="{variant} seed {seed}", cache_policy=NO_CACHE)
def run_variant(variant: str, seed: int) -> dict[str, float]:
    """Train, generate and score one variant; returns its metrics. Raises what the stages raise."""
    root = Workspace()
    params = params_of(load_params(root.root / PARAMS_PATH), variant=variant, seed=seed, root=root)
    workspace = prepared_workspace(root, name=f"{variant}-seed-{seed}")
    for stage in STAGES_RUN:
        run_and_keep_report(stage, params, workspace=workspace, mapper=local_mapper(params.runtime))
        if stage == "train":
            tag_model(params, workspace=workspace, tags={"ablation": variant, "seed": str(seed)})
    metrics = read_json(workspace.metrics_dir / "evaluate.json")
    assert isinstance(metrics, dict)
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


@flow(name="ablations")
def ablations(seeds: list[int]) -> dict[str, dict[str, list[float]]]:
    """All variants with all seeds, one after another: each uses the whole machine.

    Returns the metrics by variant, a value a seed; also written to .mcld/ablations/table.json.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for seed in seeds:
        for variant in VARIANTS:
            found.setdefault(variant, []).append(run_variant(variant, seed))
            get_run_logger().info("%s, seed %d: done", variant, seed)
    table = {
        variant: {name: [one[name] for one in metrics if name in one] for name in metrics[0]}
        for variant, metrics in found.items()
    }
    write_json(Workspace().state_dir / "ablations" / "table.json", value={"seeds": seeds, "metrics": table})
    return table


def params_of(params: Params, *, variant: str, seed: int, root: Workspace) -> Params:
    """These params with the variant's settings and seed, and with this folder's MLflow."""
    runtime = {
        "experiment": EXPERIMENT,
        "tracking_uri": params.runtime.tracking_uri or default_uri(root.root),
    }
    return params.model_copy(
        update={
            "model": params.model.model_copy(update=VARIANTS[variant]),
            "train": params.train.model_copy(update={"seed": seed}),
            "runtime": params.runtime.model_copy(update=runtime),
        }
    )


def prepared_workspace(root: Workspace, *, name: str) -> Workspace:
    """A workspace that reads the stages before training from `root`. Raises DataError if one has not run."""
    workspace = Workspace(root=root.state_dir.resolve() / "ablations" / name)
    for stage in STAGES_BEFORE:
        source = root.stage_dir(stage).resolve()
        if not (source / "manifest.json").is_file():
            raise DataError(f"{source}: has not been made; run `dvc repro shards weights` first")
        link = workspace.stage_dir(stage)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(source, target_is_directory=True)
    return workspace


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
