"""The processes that write one checkpoint together: what they tell each other, and how they fail together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch.distributed as dist

from mcld.errors import CheckpointError, MCLDError, WorkerError

Result = TypeVar("Result")
Outcome = tuple[Result | None, MCLDError | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """This process among the others of a run. Alone, every exchange is a plain return.

    The group is one of its own, of gloo: checkpoints are written behind the training's back, and collectives
    of one group that are called from two threads would meet each other's partners. What is exchanged are
    plans, names and hashes, in memory; no tensor.
    """

    rank: int = 0
    num_ranks: int = 1
    group: dist.ProcessGroup | None = None

    @classmethod
    def meet(cls) -> Peers:
        """All processes of the default group, which must all call this; this one alone when there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        group = dist.new_group(backend="gloo")
        return cls(rank=dist.get_rank(), num_ranks=dist.get_world_size(), group=group)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that decides and tells."""
        return self.rank == 0

    def agree(self, work: Callable[[], Result]) -> list[Result]:
        """Work in every process, and the results of all by rank.

        Where it failed in one process it fails in all, with that error: none goes on alone, none waits.
        Raises WorkerError where another process is gone.
        """
        outcomes = self._gather(_outcome_of(work))
        for _, error in outcomes:
            if error is not None:
                raise error
        return [cast("Result", result) for result, _ in outcomes]

    def first(self, work: Callable[[], Result]) -> Result:
        """Work in the first process; its result, or its error, in all."""
        return self.agree(lambda: work() if self.is_first else None)[0]  # type: ignore[return-value]

    def _gather(self, outcome: Outcome[Result]) -> list[Outcome[Result]]:
        if self.group is None:
            return [outcome]
        outcomes: list[Outcome[Result]] = [(None, None)] * self.num_ranks
        try:
            dist.all_gather_object(outcomes, outcome, group=self.group)
        except RuntimeError as error:
            raise WorkerError(  # an effect: whoever started the processes knows which was lost, and why
                f"process {self.rank} of {self.num_ranks}: another process is gone while a checkpoint was in "
                f"work ({str(error).splitlines()[0]}); repeat the command to resume from the one before"
            ) from error
        return outcomes


def _outcome_of(work: Callable[[], Result]) -> Outcome[Result]:
    try:
        return work(), None
    except MCLDError as error:
        return None, error
    except Exception as error:  # noqa: BLE001  # raised again in every process, by `agree`
        told = CheckpointError(f"a checkpoint failed in a way that was not foreseen: {error!r}")
        told.__cause__ = error
        return None, told
