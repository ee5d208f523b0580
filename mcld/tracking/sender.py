"""The thread that sends a journal while others append to it, and waits for a store that is away."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from mcld.tracking.delivery import BusyError, Delivery
from mcld.tracking.journal import START, Position
from mcld.tracking.store import StoreAwayError, shown

logger = logging.getLogger(__name__)

# Points of so long go in one call.
GATHER_S = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(slots=True)
class Sender:
    """Sends in the background, in a daemon thread: what it does not get to is in the journal."""

    delivery: Delivery
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _sent: Position = field(default=START, init=False)
    _away_since: float | None = field(default=None, init=False)
    _is_wanted_now: bool = field(default=False, init=False)
    _is_stopping: bool = field(default=False, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to send."""
        self.delivery.on_progress = self._note_sent
        self._thread = threading.Thread(target=self._work, name="mlflow-sender", daemon=True)
        self._thread.start()

    def wait(self, *, timeout_s: float, away_timeout_s: float | None = None) -> bool:
        """Wait until all that is in the journal now is sent; whether it is.

        Gives up after `timeout_s`, or when the store has been away for `away_timeout_s` of the wait.
        """
        goal, started = self.delivery.journal.end, time.monotonic()
        with self._changed:
            while self._sent < goal:
                now = time.monotonic()
                limit = started + timeout_s
                if self._away_since is not None and away_timeout_s is not None:
                    limit = min(limit, max(self._away_since, started) + away_timeout_s)
                if now >= limit or self._is_stopping:
                    return False
                self._is_wanted_now = True
                self._changed.notify_all()
                self._changed.wait(min(limit - now, 0.1))
        return True

    def stop(self, *, timeout_s: float = 1.0) -> None:
        """End after the call under way. One that hangs is left behind: all that it holds is on disk."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        pause_s = GATHER_S
        while not self._pause(pause_s):
            try:
                self.delivery.deliver()
            except BusyError:
                pause_s = GATHER_S
            except StoreAwayError as error:
                pause_s = self._note_away(str(error), pause_s=pause_s)
            except Exception:
                logger.exception("sending to MLflow failed; it is tried again")
                pause_s = self._note_away("see above", pause_s=pause_s)
            else:
                self._note_back()
                pause_s = GATHER_S

    def _pause(self, pause_s: float) -> bool:
        """Wait for the next try, less long when somebody waits for it; whether to stop."""
        ends = time.monotonic() + pause_s
        with self._changed:
            while not self._is_stopping:
                least_s = FIRST_PAUSE_S if self._away_since is not None else 0.0
                left_s = ends - time.monotonic()
                if self._is_wanted_now:
                    left_s = min(left_s, least_s)
                    ends = min(ends, time.monotonic() + left_s)
                    self._is_wanted_now = False
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            return self._is_stopping

    def _note_sent(self, position: Position) -> None:
        with self._changed:
            self._sent = position
            self._changed.notify_all()

    def _note_away(self, reason: str, *, pause_s: float) -> float:
        with self._changed:
            is_news = self._away_since is None
            if is_news:
                self._away_since = time.monotonic()
            self._changed.notify_all()
        if not is_news:
            return min(2 * pause_s, LONGEST_PAUSE_S)
        journal = self.delivery.journal
        assert journal.memory.wanted is not None
        logger.warning(
            "MLflow at %s is away (%s); events are kept in %s and sent when it is back",
            shown(journal.memory.wanted.tracking_uri),
            reason,
            journal.directory,
        )
        return FIRST_PAUSE_S

    def _note_back(self) -> None:
        with self._changed:
            was_away, self._away_since = self._away_since is not None, None
            self._changed.notify_all()
        if was_away:
            logger.info("MLflow is back; what was kept is sent")
