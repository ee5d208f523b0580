"""What the server does by itself concerns runs of our deployments alone, and comes to an end."""

from __future__ import annotations

from uuid import uuid4

import pytest
from prefect.events.schemas.automations import EventTrigger
from prefect.events.schemas.events import ResourceSpecification

from flows.attempts import MAX_STARTS, check_attempts
from flows.automations import automations
from mcld.errors import WorkerError


def test_each_watches_runs_of_our_deployments_one_by_one() -> None:
    for automation in automations():
        trigger = automation.trigger
        assert isinstance(trigger, EventTrigger)
        assert trigger.for_each == {"prefect.resource.id"}
        assert isinstance(trigger.match_related, list)
        flow, deployment = (ResourceSpecification.model_validate(one).root for one in trigger.match_related)
        assert set(flow["prefect.resource.name"]) == {"mcld", "stage", "ablations", "nightly-verify"}
        assert deployment == {"prefect.resource.role": "deployment"}


def test_a_notification_block_is_told_of_each() -> None:
    block = uuid4()
    for automation in automations(notified=block):
        assert automation.actions[-1].model_dump()["block_document_id"] == block
        assert len(automation.actions) == 2


def test_a_run_that_always_crashes_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(MAX_STARTS))
    check_attempts()
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", str(MAX_STARTS + 1))
    with pytest.raises(WorkerError, match=r"begun 6 times and crashed each time; look at its log"):
        check_attempts()
