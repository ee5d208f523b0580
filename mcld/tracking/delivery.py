"""Bring a journal's events to its store, in order and exactly once, and write down how far that has come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcld.errors import DataError
from mcld.faults import passing
from mcld.storage import read_json, sha256_of_bytes, write_json
from mcld.storage.locks import locked
from mcld.tracking.events import Event, FileLogged, ImageLogged, RunWanted, describe
from mcld.tracking.journal import START, Entry, Journal, Position, Unreadable
from mcld.tracking.store import CallLoad, RefusedError, RunGoneError, Store, StoreAwayError, open_store, shown

logger = logging.getLogger(__name__)


class BusyError(Exception):
    """Another process is sending this journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How far a journal has come in one store. Each store has its own: a new one gets all from the start."""

    tracking_uri: str
    run_id: str | None = None
    position: Position = START
    num_skipped: int = 0  # events that could not be sent: refused, or their file is gone


@dataclass(slots=True, kw_only=True)
class Delivery:
    """Sends one journal. `identity` names its run, `root` is where files are looked for."""

    journal: Journal
    identity: str
    root: Path
    on_progress: Callable[[Position], None] = field(default=lambda _: None)
    _store: Store | None = field(default=None, init=False)
    _store_uri: str = field(default="", init=False)
    _checked_run: str | None = field(
        default=None, init=False
    )  # this run was seen in the store by this object

    def receipt(self) -> Receipt:
        """How far it has come; from the start where nothing was sent yet."""
        return read_receipt(self.journal.directory, tracking_uri=self._wanted().tracking_uri)

    def deliver(self) -> None:
        """Send all that is left. Raises StoreAwayError, or BusyError when another process is at it."""
        with locked(self.journal.directory / "send.lock", waits=False) as held:
            if not held:
                raise BusyError
            try:
                self._send_rest(self._with_run(self.receipt()))
            except (
                RunGoneError
            ) as error:  # deleted while we sent: what follows makes it again, from the start
                self._checked_run = None
                raise StoreAwayError(str(error)) from error

    def _send_rest(self, receipt: Receipt) -> None:
        self.on_progress(receipt.position)
        for batch in _batches(self.journal.read(receipt.position)):
            self.journal.sync()  # what was sent but lost here would be said again with another time
            receipt = self._send(receipt, batch)
            passing("tracking:sent")
            receipt = replace(receipt, position=batch[-1].end)
            _write_receipt(self.journal.directory, receipt=receipt)
            self.on_progress(receipt.position)

    def _with_run(self, receipt: Receipt) -> Receipt:
        """The receipt with a run that is there. A run that was deleted is made again, from the start."""
        wanted = self._wanted()
        store = self._open_store(wanted.tracking_uri)
        if receipt.run_id is not None and receipt.run_id == self._checked_run:
            return receipt
        if receipt.run_id is not None and not store.has_run(receipt.run_id):
            logger.warning("MLflow no longer has run %s: it is made again from the journal", receipt.run_id)
            receipt = Receipt(tracking_uri=wanted.tracking_uri)
        if receipt.run_id is None:
            receipt = replace(receipt, run_id=self._make_run(store, wanted))
            _write_receipt(self.journal.directory, receipt=receipt)
        self._checked_run = receipt.run_id
        return receipt

    def _make_run(self, store: Store, wanted: RunWanted) -> str:
        try:
            run_id = store.find_or_make_run(wanted, identity=self.identity)
        except (RefusedError, RunGoneError) as error:  # such as a deleted experiment, which one can restore
            raise StoreAwayError(str(error)) from error
        passing("tracking:run_made")
        return run_id

    def _send(self, receipt: Receipt, batch: Sequence[Entry]) -> Receipt:
        """Send a batch; where that is refused, its events one by one, so that one costs no other."""
        assert receipt.run_id is not None
        assert self._store is not None
        reason = self._why_not(batch[0].event)
        if reason is not None:
            return _skipped(receipt, batch[0].event, reason=reason)
        events = [entry.event for entry in batch if not isinstance(entry.event, Unreadable)]
        try:
            self._store.send(receipt.run_id, events)
        except RefusedError as error:
            if not self._store.has_run(receipt.run_id):
                raise RunGoneError(f"run {receipt.run_id} was deleted") from error
            if len(batch) == 1:
                return _skipped(receipt, batch[0].event, reason=str(error))
            for entry in batch:
                receipt = self._send(receipt, [entry])
        return receipt

    def _why_not(self, event: Event | Unreadable) -> str | None:
        match event:
            case Unreadable():
                return event.reason
            case ImageLogged() | FileLogged():
                return event.file.difference(self.root)
            case _:
                return None

    def _open_store(self, tracking_uri: str) -> Store:
        if self._store is None or self._store_uri != tracking_uri:
            self._store, self._store_uri = open_store(tracking_uri, root=self.root), tracking_uri
            self._checked_run = None
        return self._store

    def _wanted(self) -> RunWanted:
        wanted = self.journal.memory.wanted
        assert wanted is not None, "a journal begins with the run that is wanted"
        return wanted


def read_receipt(directory: Path, *, tracking_uri: str) -> Receipt:
    """The receipt of a store in a journal's folder.

    A damaged one counts as none: all is sent again, which changes nothing.
    """
    path = _receipt_path(directory, tracking_uri=tracking_uri)
    if not path.is_file():
        return Receipt(tracking_uri=tracking_uri)
    try:
        found = read_json(path)
        assert isinstance(found, dict)
        segment, offset = found.pop("position")
        return Receipt(position=Position(segment, offset), **found)
    except (DataError, AssertionError, KeyError, TypeError, ValueError):
        logger.warning("%s: damaged; what MLflow has already is sent once more, which changes nothing", path)
        return Receipt(tracking_uri=tracking_uri)


def _write_receipt(directory: Path, *, receipt: Receipt) -> None:
    value = {
        "tracking_uri": receipt.tracking_uri,
        "run_id": receipt.run_id,
        "position": [receipt.position.segment, receipt.position.offset],
        "num_skipped": receipt.num_skipped,
    }
    write_json(_receipt_path(directory, tracking_uri=receipt.tracking_uri), value=value)


def _receipt_path(directory: Path, *, tracking_uri: str) -> Path:
    return directory / f"sent-{sha256_of_bytes(tracking_uri.encode())[:12]}.json"


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Events in order, those together that one call can carry."""
    batch: list[Entry] = []
    load: CallLoad | None = None
    for entry in entries:
        more = None if isinstance(entry.event, Unreadable) else CallLoad.of(entry.event)
        both = None if load is None or more is None else load + more
        if batch and (both is None or not both.fits):
            yield batch
            batch, both = [], more
        batch.append(entry)
        load = both if both is not None else more
    if batch:
        yield batch


def _skipped(receipt: Receipt, event: Event | Unreadable, *, reason: str) -> Receipt:
    name = "a line of the journal" if isinstance(event, Unreadable) else describe(event)
    logger.warning("%s is not sent to MLflow at %s: %s", name, shown(receipt.tracking_uri), reason)
    return replace(receipt, num_skipped=receipt.num_skipped + 1)
