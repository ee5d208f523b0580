"""What Prefect's server does by itself about runs that crash, fall silent, or wait for a worker in vain.

    python -m flows.automations                               # make them, or bring them up to date
    python -m flows.automations --notify slack-webhook/team   # and tell that notification block

A crashed run is begun again and goes on from its finished parts and checkpoints; `flows.attempts` ends that
after some times. They are on Prefect's page under Automations, to be paused or edited.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import httpx
import typer
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CancelFlowRun, ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound, PrefectException

from flows.ablations import ablations
from flows.nightly import nightly_verify
from flows.pipeline import pipeline
from flows.stage import stage
from mcld.errors import ConfigError, MCLDError

if TYPE_CHECKING:
    from uuid import UUID

EXIT_USER_ERROR = 2
FLOW_NAMES = tuple(flow.name for flow in (pipeline, stage, ablations, nightly_verify))
RUN = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
# A run of one of our flows, by a deployment: nobody would take up another.
OURS: list[ResourceSpecification | dict[str, str | list[str]]] = [
    ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": list(FLOW_NAMES)}),
    ResourceSpecification({"prefect.resource.role": "deployment"}),
]
HEARTBEAT = "prefect.flow-run.heartbeat"  # every 30 s, says prefect.yaml
SILENCE = timedelta(minutes=3)
PAUSE = timedelta(seconds=30)
LATENESS = timedelta(hours=12)
OVER = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
BEGUN = {"prefect.flow-run.Pending", "prefect.flow-run.Running"}


def automations(*, notified: UUID | None = None) -> tuple[AutomationCore, ...]:
    """All of them; `notified` is the notification block that is told."""
    told = () if notified is None else (_told(notified),)
    return (
        AutomationCore(
            name="mcld: begin crashed runs again",
            description="Finished parts and checkpoints are kept, so the run goes on where it was",
            # Not at once: runner and worker both report a crash; the later report must not meet the new try.
            trigger=_unless(BEGUN, after={"prefect.flow-run.Crashed"}, within=PAUSE),
            actions=[
                ChangeFlowRunState(
                    state=StateType.SCHEDULED, name="AwaitingRetry", force=True, message="crashed"
                ),
                *told,
            ],
        ),
        AutomationCore(
            name="mcld: silent runs have crashed",
            description="A machine that went away can say nothing; its run counts as crashed",
            trigger=_unless({HEARTBEAT} | OVER, after={HEARTBEAT}, within=SILENCE),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"silent for {SILENCE}"), *told],
        ),
        AutomationCore(
            name="mcld: cancel late runs",
            description="Scheduled runs that no worker takes must not pile up",
            trigger=_unless(OVER | BEGUN, after={"prefect.flow-run.Late"}, within=LATENESS),
            actions=[CancelFlowRun(), *told],
        ),
    )


def save(wanted: tuple[AutomationCore, ...]) -> None:
    """Make them on the server, each in the place of one of its name."""
    with get_client(sync_client=True) as client:
        for automation in wanted:
            known = client.read_automations_by_name(automation.name)
            if known:
                client.update_automation(known[0].id, automation)
            else:
                client.create_automation(automation)


def block_id(address: str) -> UUID:
    """The id of the notification block `TYPE/NAME`. Raises ConfigError when the server has none of it."""
    kind, _, name = address.partition("/")
    with get_client(sync_client=True) as client:
        try:
            return client.read_block_document_by_name(name=name, block_type_slug=kind).id
        except ObjectNotFound as error:
            raise ConfigError(
                f"--notify: the server has no block '{address}'; make one on Prefect's page under Blocks and "
                "name it as TYPE/NAME, such as slack-webhook/team"
            ) from error


def _unless(expect: set[str], *, after: set[str], within: timedelta) -> EventTrigger:
    """Goes off when nothing of `expect` follows an event of `after`, of one run, in that time."""
    return EventTrigger(
        after=after,
        expect=expect,
        match=RUN,
        match_related=OURS,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _told(block: UUID) -> SendNotification:
    return SendNotification(
        block_document_id=block,
        subject="mcld: {{ flow_run.name }} {{ flow_run.state.name }}",
        body="{{ automation.name }}: {{ flow.name }}/{{ flow_run.name }}\n{{ flow_run|ui_url }}",
    )


def main(
    notify: Annotated[str | None, typer.Option(help="A notification block, TYPE/NAME, that is told.")] = None,
) -> None:
    """Make the automations on the server that PREFECT_API_URL names."""
    try:
        wanted = automations(notified=block_id(notify) if notify else None)
        save(wanted)
    except MCLDError as error:
        sys.stderr.write(f"mcld: {error}\n")
        sys.exit(EXIT_USER_ERROR)
    except (PrefectException, httpx.HTTPError) as error:
        sys.stderr.write(
            f"mcld: Prefect's server does not answer ({error}); set PREFECT_API_URL to its address\n"
        )
        sys.exit(EXIT_USER_ERROR)
    sys.stdout.write("".join(f"{one.name}\n" for one in wanted))


if __name__ == "__main__":
    typer.run(main)
