"""Parts made by the workers of a Ray cluster: each loads its models once, and one that dies is replaced."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from mcld.cluster.address import HeadWatch
from mcld.cluster.engine import Call, Cluster, Worker, WorkerLostError, WorkerSize, connected
from mcld.cluster.leases import SETTLED_S, grant, revoke, revoke_all
from mcld.cluster.setup import WorkerSetup
from mcld.config import RuntimeParams
from mcld.errors import ConfigError, WorkerError
from mcld.stages.mapper import THREAD_VARIABLES, Item, Result

if TYPE_CHECKING:
    from mcld.workspace import Workspace

MAX_LOSSES = 3  # of workers by one part, or of workers that have not begun
WAIT_S = 1.0
TELL_AFTER_S = 30.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RayMapper:
    """On workers of a Ray cluster, wherever they are; all machines see the workspace under the same name.

    `leases_dir` is a folder of the workspace that nobody else uses while a map runs.
    """

    runtime: RuntimeParams
    leases_dir: Path

    @classmethod
    def of(cls, runtime: RuntimeParams, *, workspace: Workspace) -> RayMapper:
        """The mapper of a workspace that is locked while it maps."""
        return cls(runtime=runtime, leases_dir=workspace.state_dir.resolve() / "ray")

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        *,
        description: str,
        uses_device: bool = False,
    ) -> Iterator[Result]:
        """Apply `function` on as many workers as there are places. What a lost one had, another one gets.

        Raises what `function` raises; ConfigError when no cluster is reachable, or it has no place for a
        worker; WorkerError when a part loses its workers three times, or the cluster's head is gone.
        """
        if not items:
            return
        revoke_all(self.leases_dir)
        with connected(self.runtime.ray_address) as cluster:
            size = self._device_size(cluster) if uses_device else self._size()
            work = _Work(
                cluster=cluster,
                function=function,
                items=items,
                description=description,
                size=size,
                leases_dir=self.leases_dir,
            )
            try:
                yield from work.results(max_workers=0 if uses_device else self.runtime.num_workers)
            finally:
                work.end()

    def _size(self, gpus: float = 0.0) -> WorkerSize:
        return WorkerSize(cpus=self.runtime.ray_cpus_per_worker, gpus=gpus)

    def _device_size(self, cluster: Cluster) -> WorkerSize:
        """With a share of a GPU, unless GPUs are forbidden or the cluster has none."""
        size = self._size(self.runtime.ray_gpus_per_worker)
        if self.runtime.device == "cpu":
            return self._size()
        if cluster.num_places(size):
            return size
        if self.runtime.device == "cuda":
            raise ConfigError(
                f"runtime.device: 'cuda' is asked for, and no machine of the Ray cluster has {size}; lower "
                "runtime.ray_gpus_per_worker, or use 'auto' or 'cpu'"
            )
        return self._size()


class _Work(Generic[Item, Result]):
    """One map under way: what is to be done, who does what, what is done."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        description: str,
        size: WorkerSize,
        leases_dir: Path,
    ) -> None:
        self._cluster, self._function, self._items = cluster, cluster.share(function), items
        self._description, self._size = description, size
        threads = dict.fromkeys(THREAD_VARIABLES, str(max(1, int(size.cpus))))
        self._setup = WorkerSetup.here(leases_dir, environment=threads)
        self._waiting = deque(range(len(items)))
        self._busy: dict[Call, tuple[Worker, int | None]] = {}  # None: is beginning
        self._leases: dict[Worker, Path] = {}
        self._numbers = count()
        self._losses: Counter[int | None] = Counter()
        self._done: dict[int, Result] = {}
        self._head = HeadWatch(cluster.address)

    def results(self, *, max_workers: int) -> Iterator[Result]:
        """In the items' order; at most so many workers, 0: as many as there are places."""
        places = self._places()
        for _ in range(min(len(self._items), places, max_workers or places)):
            self._start()
        at_work_s = time.monotonic()
        for index in range(len(self._items)):
            while index not in self._done:
                self._step()
                at_work_s = self._tell_waiting(at_work_s)
            yield self._done.pop(index)

    def end(self) -> None:
        """Let all workers go. Ray is not asked to help: its head may be what is gone."""
        for lease in self._leases.values():
            revoke(lease)

    def _places(self) -> int:
        places = self._cluster.num_places(self._size)
        if not places:
            raise ConfigError(
                f"runtime.ray_cpus_per_worker: no machine of the Ray cluster at {self._cluster.address} has "
                f"{self._size}; lower it, or add a machine"
            )
        return places

    def _step(self) -> None:
        for call in self._cluster.wait(list(self._busy), timeout_s=WAIT_S):
            worker, index = self._busy.pop(call)
            try:
                result = self._cluster.result(call)
            except WorkerLostError as error:
                self._replace(worker, index=index, reason=str(error))
                continue
            if index is not None:
                self._done[index] = result  # type: ignore[assignment]
            self._give_next(worker)
        self._head.look(self._description)

    def _give_next(self, worker: Worker) -> None:
        if self._waiting:
            index = self._waiting.popleft()
            self._busy[worker.call(self._items[index])] = (worker, index)
        else:
            self._give_up(worker)

    def _replace(self, worker: Worker, *, index: int | None, reason: str) -> None:
        """Its part comes first now. Nobody gets it before the lost worker must have ended."""
        self._give_up(worker)
        self._losses[index] += 1
        if self._losses[index] >= MAX_LOSSES:
            what = "workers could not begin" if index is None else f"part {index} lost its worker"
            raise WorkerError(
                f"{self._description}: {what}, {MAX_LOSSES} times ({reason}); finished parts are kept: if "
                f"memory is short raise runtime.ray_cpus_per_worker or lower {self._description}.batch_size, "
                "and repeat the command"
            )
        logger.warning("%s: a worker is lost (%s); another one goes on", self._description, reason)
        time.sleep(SETTLED_S)
        if index is not None:
            self._waiting.appendleft(index)
        if self._waiting:
            self._start()

    def _start(self) -> None:
        lease = grant(self._setup.leases_dir / f"worker-{next(self._numbers):05d}")
        begin = partial(self._setup.begin, lease)
        worker, call = self._cluster.start(begin, function=self._function, size=self._size)
        self._leases[worker] = lease
        self._busy[call] = (worker, None)

    def _give_up(self, worker: Worker) -> None:
        revoke(self._leases.pop(worker))
        worker.end()

    def _tell_waiting(self, since_s: float) -> float:
        """Say so when nobody has had a place for long: the cluster may be busy, or has lost its machines.

        Takes and returns the time at which somebody was last seen at work, or this was last said.
        """
        is_waiting = all(index is None for _, index in self._busy.values())
        if not is_waiting or time.monotonic() - since_s < TELL_AFTER_S:
            return since_s if is_waiting else time.monotonic()
        self._places()
        logger.warning(
            "%s: waits for a place with %s in the Ray cluster at %s",
            self._description,
            self._size,
            self._cluster.address,
        )
        return time.monotonic()
