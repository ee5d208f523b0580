"""`mcld tracking …`: what MLflow has not been told yet, and telling it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mcld.tracking import Delivery, JournalState

tracking_app = typer.Typer(help="What MLflow has not been told yet, and telling it.", no_args_is_help=True)


@tracking_app.callback()
def tracking() -> None:
    """What MLflow has not been told yet, and telling it."""


@tracking_app.command("status")
def status() -> None:
    """Show each run's journal: how many events are not sent yet, and how many never can be."""
    from mcld.tracking import state_of

    for delivery in _all_deliveries():
        print(describe(state_of(delivery)))


@tracking_app.command("sync")
def sync() -> None:
    """Send what is left. Repeat it when the server is back."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.errors import TrackingError
    from mcld.tracking import BusyError, StoreAwayError, shown, state_of

    problems: list[str] = []
    for delivery in _all_deliveries():
        before = state_of(delivery)
        place = shown(before.receipt.tracking_uri)
        try:
            delivery.deliver()
        except BusyError:
            problems.append(f"{before.name}: another process is sending this journal; repeat when it is done")
        except StoreAwayError as error:
            problems.append(f"{before.name}: MLflow at {place} is away ({error}); repeat when it is back")
        after = state_of(delivery)
        print(f"{after.name}: {before.num_left - after.num_left} events sent, {after.num_left} left")
    if problems:
        raise TrackingError("\n".join(problems))


@tracking_app.command("view")
def view(
    experiment: Annotated[
        str | None, typer.Option(help="Its name in MLflow; default: runtime.experiment.")
    ] = None,
) -> None:
    """Save a view of the trained models on MLflow's page: by ablation, seed and profile, with pictures."""
    from mcld.cli.views import save_model_view

    print(save_model_view(Path(), experiment=experiment))


def describe(state: JournalState) -> str:
    """One line of `mcld tracking status`."""
    from mcld.tracking import shown

    receipt = state.receipt
    skipped = f", {receipt.num_skipped} could not be sent" if receipt.num_skipped else ""
    run = f"run {receipt.run_id}" if receipt.run_id else "no run yet"
    return f"{state.name}: {state.num_left} events left{skipped}; {run} at {shown(receipt.tracking_uri)}"


def _all_deliveries() -> list[Delivery]:
    from mcld.tracking import deliveries
    from mcld.workspace import Workspace

    workspace = Workspace()
    return list(deliveries(state_dir=workspace.state_dir, root=workspace.root))
