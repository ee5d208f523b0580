"""How long one keeps trying a store that fails for a moment."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

# Not Python's common generator: ranks that share a seed would all come back at the same moment, and drawing
# from it would change what training draws.
_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """`num_tries` in all; the pauses between them double from `base_delay_s`, each shortened at random."""

    num_tries: int = 7
    base_delay_s: float = 0.5
    max_delay_s: float = 20.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0  # without one byte: a slow body is not a stalled one

    def delay_s(self, num_failed: int) -> float:
        """Seconds to pause after the `num_failed`-th failure: half of the full pause to all of it."""
        full = min(self.max_delay_s, self.base_delay_s * 2 ** (num_failed - 1))
        return _jitter.uniform(full / 2, full)

    def pause(self, num_failed: int) -> None:
        """Sleep after the `num_failed`-th failure."""
        time.sleep(self.delay_s(num_failed))


DEFAULT_RETRIES = Retries()
