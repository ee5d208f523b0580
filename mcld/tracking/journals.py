"""All journals of a workspace: what is left of them, and sending it without a run at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcld.tracking.delivery import Delivery, Receipt
from mcld.tracking.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """How far one run's journal is sent."""

    identity: str
    name: str
    receipt: Receipt
    num_left: int


def state_of(delivery: Delivery) -> JournalState:
    """How far one journal is sent to the store that it wants now."""
    receipt = delivery.receipt()
    wanted = delivery.journal.memory.wanted
    assert wanted is not None
    num_left = sum(1 for _ in delivery.journal.read(receipt.position))
    return JournalState(identity=delivery.identity, name=wanted.name, receipt=receipt, num_left=num_left)


def deliveries(*, state_dir: Path, root: Path) -> Iterator[Delivery]:
    """A delivery for each journal of a workspace, in order of their identities, nested runs last."""
    journals = [Journal(directory) for directory in sorted((state_dir / "journal").glob("*/"))]
    known = [one for one in journals if one.memory.wanted is not None]  # a kill may have left an empty one
    for journal in sorted(known, key=_is_nested):
        yield Delivery(journal=journal, identity=journal.directory.name, root=root.resolve())


def _is_nested(journal: Journal) -> bool:
    return journal.memory.wanted is not None and journal.memory.wanted.parent is not None
