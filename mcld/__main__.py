"""The command line: parsing, progress and exit codes; nothing else. Heavy imports wait until needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mcld.cli.check import check_app
from mcld.cli.conditions import conditions_app
from mcld.cli.dataset import dataset_app
from mcld.cli.edit import edit_command
from mcld.cli.evaluate import evaluate_command
from mcld.cli.figures import figures_app
from mcld.cli.plan_train import plan_app
from mcld.cli.pose import pose_command
from mcld.cli.remake import remake_command
from mcld.cli.serve import serve_command
from mcld.cli.shards import shards_app
from mcld.cli.studio import studio_command
from mcld.cli.tracking import tracking_app
from mcld.cli.weights import weights_app
from mcld.errors import ConfigError, MCLDError, TrainingStoppedError

EXIT_DIFFERS = 1
EXIT_USER_ERROR = 2
EXIT_STOPPED = 75  # EX_TEMPFAIL: a scheduler may start the same command again
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="From a folder of fashion photographs to a trained, scored model. Run it in the project's folder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
profile_app = typer.Typer(help="List ready-made configurations, or use one.", no_args_is_help=True)
app.add_typer(profile_app, name="profile")
app.add_typer(weights_app, name="weights")
app.add_typer(check_app, name="check")
app.add_typer(conditions_app, name="conditions")
app.add_typer(dataset_app, name="dataset")
app.add_typer(shards_app, name="shards")
app.add_typer(figures_app, name="figures")
app.add_typer(tracking_app, name="tracking")
app.add_typer(plan_app, name="plan")
app.command("evaluate")(evaluate_command)
app.command("pose")(pose_command)
app.command("edit")(edit_command)
app.command("remake")(remake_command)
app.command("studio")(studio_command)
app.command("serve")(serve_command)


def main() -> None:
    """Run a command. A user's error is one sentence and exit code 2, never a traceback."""
    with_exit_codes(lambda: app(prog_name="mcld"))


def with_exit_codes(command: Callable[[], object]) -> None:
    """Do it; errors meant for the user become a sentence on stderr and an exit code."""
    try:
        command()
    except TrainingStoppedError as stop:
        _complain(str(stop))
        sys.exit(EXIT_STOPPED)
    except MCLDError as error:
        _complain(str(error))
        sys.exit(EXIT_USER_ERROR)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:
            _complain("interrupted; repeat the command to resume")
        raise


@app.command()
def run(
    stage: Annotated[str, typer.Argument(help="The stage's name; `mcld status` lists them.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
) -> None:
    """Run one stage. Repeat the command to resume."""
    _check_stage(stage)
    from mcld.config import load_params
    from mcld.workspace import Workspace

    workspace = Workspace()
    params = load_params()
    if dry_run:
        from mcld.cli.plan import describe_plan

        print(describe_plan(stage, params, workspace=workspace))
        return
    from mcld.cli.reports import describe, run_and_keep_report
    from mcld.progress import log_to_stderr
    from mcld.stages.mapper import mapper_of

    log_to_stderr()
    mapper = mapper_of(params.runtime, workspace=workspace)
    print(describe(run_and_keep_report(stage, params, workspace=workspace, mapper=mapper)))


@app.command()
def params(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show the whole configuration, checked; what is left to the recipe shows its value."""
    from mcld.cli.plan import flat_values
    from mcld.config import load_params

    loaded = load_params()
    if as_json:
        print(loaded.model_dump_json(indent=1))
        return
    for name, value in flat_values(loaded, sections=type(loaded).model_fields).items():
        print(f"{name} = {value}")


@app.command()
def status() -> None:
    """Show which stages are fresh, stale and why, or missing."""
    from mcld.cli.status import describe, statuses
    from mcld.workspace import Workspace

    for stage_status in statuses(workspace=Workspace()):
        print(describe(stage_status))


@app.command()
def summary() -> None:
    """Show what each stage said when it last ran here, and where the report is."""
    from mcld.cli.reports import summary as summarise
    from mcld.workspace import Workspace

    print(summarise(workspace=Workspace()))


@app.command()
def export(
    out_dir: Annotated[Path, typer.Argument(help="A folder that is new, empty or an earlier export.")],
    step: Annotated[
        int | None,
        typer.Option(min=1, help="Export the checkpoint after so many steps instead of the finished model."),
    ] = None,
) -> None:
    """Write the trained model, or a checkpoint's, as one folder that diffusers loads."""
    from mcld.progress import silence_libraries

    silence_libraries()
    from mcld.cli.export import describe_export, export_pipeline
    from mcld.config import load_params
    from mcld.workspace import Workspace

    export_pipeline(out_dir, load_params(), workspace=Workspace(), step=step)
    print(describe_export(out_dir))


@app.command("evaluate-checkpoints")
def evaluate_checkpoints(
    step: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Of the checkpoint after so many steps; several times for several."),
    ] = None,
) -> None:
    """Generate with and score all kept checkpoints: each a run below the model's in MLflow."""
    from mcld.cli.evaluate_checkpoints import score_checkpoints
    from mcld.config import load_params
    from mcld.progress import log_to_stderr
    from mcld.workspace import Workspace

    log_to_stderr()
    print(score_checkpoints(load_params(), workspace=Workspace(), steps=step or []))


@app.command()
def compare(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Names or ids of MLflow's runs, or workspaces' folders.")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Also all runs that meet this condition of MLflow, e.g. \"tags.seed = '0'\"."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
) -> None:
    """Write a page of runs side by side: settings, metrics, pictures, curves; differences to the first."""
    from mcld.cli.compare import write_comparison

    print(write_comparison(runs or [], out=out, root=Path(), search=search))


@app.command()
def promote(
    run: Annotated[
        str | None, typer.Argument(help="A run's name or id in MLflow; default: this folder's.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The metric that decides.")] = "ssim",
    name: Annotated[str, typer.Option(help="The registered model.")] = "mcld",
) -> None:
    """Make a run's model the champion, if it is better than the present one beyond chance."""
    from mcld.cli.promote import promote as promote_run

    print(promote_run(run, metric=metric, name=name, root=Path()))


@app.command()
def lineage(
    run: Annotated[
        str | None,
        typer.Argument(help="A run's name or id in MLflow, or a model's folder; default: this one's."),
    ] = None,
) -> None:
    """Show what a model was made from: code, environment, settings, data, weights, runs."""
    from mcld.cli.lineage import describe_lineage

    print(describe_lineage(run, root=Path()))


@app.command()
def reproduce(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run's name or id in MLflow, or a model's folder; default: this folder's model."
        ),
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="The git worktree to make it in; default: .mcld/reproduce/NAME.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Make the inputs anew as well, instead of pulling them.")
    ] = False,
) -> None:
    """Make a model again from its commit, settings and data; exit code 1 if it comes out otherwise."""
    from mcld.cli.reproduce import reproduce as make_again

    if not make_again(run, root=Path(), into=into, everything=everything):
        sys.exit(EXIT_DIFFERS)


@profile_app.command("list")
def profile_list() -> None:
    """List the profiles; a star marks the one in use."""
    from mcld.cli.profiles import list_profiles

    for profile in list_profiles(Path()):
        print(f"{'*' if profile.in_use else ' '} {profile.name:<20} {profile.summary}")


@profile_app.command("use")
def profile_use(name: Annotated[str, typer.Argument(help="A name from `mcld profile list`.")]) -> None:
    """Make a profile the configuration. Edits of your own are kept as params.yaml.bak."""
    from mcld.cli.profiles import use_profile

    backup = use_profile(name, root=Path())
    print(f"params.yaml is now profile {name}" + (f"; your own is kept as {backup}" if backup else ""))


def _check_stage(name: str) -> None:
    """Raises ConfigError for an unknown stage, with the nearest name."""
    import difflib

    from mcld.stages import STAGES

    names = [spec.name for spec in STAGES]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"stages are: {', '.join(names)}"
        raise ConfigError(f"unknown stage '{name}'; {hint}")


def _complain(message: str) -> None:
    print(f"mcld: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
