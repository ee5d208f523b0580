"""Start training on a Ray cluster, and say how it ended: what `launch` does with torchrun, over machines."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcld.cluster.address import HeadWatch
from mcld.cluster.engine import Cluster, RankGroup, WorkerLostError, WorkerSize, run_ranks
from mcld.cluster.leases import revoke_all, take_over
from mcld.cluster.setup import WorkerSetup
from mcld.config import RuntimeParams
from mcld.errors import ConfigError, MCLDError, TrainingStoppedError, WorkerError
from mcld.storage import write_bytes
from mcld.training.interruption import STOP_FILE
from mcld.training.launch import signals_received
from mcld.training.outcome import JobFiles, write_outcome

POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRank:
    """What every process does; travels to it. `train` is told its rank."""

    setup: WorkerSetup
    files: JobFiles
    train: Callable[[int], None]

    def __call__(self) -> None:
        """Train, unless it is known by now that this cannot end well.

        An error for the user is left in a file, for the command to tell it once; one that stops since it was
        asked to ends well. Anything else lets Ray end the others, and start all anew where that is allowed.
        """
        rank = int(os.environ["RANK"])
        try:
            self.setup.check()
            self.setup.begin(take_over(self.setup.leases_dir, holder=f"rank-{rank}"))
            if causes(self.files):
                raise WorkerError("the sentence of the last try is final")
            self.train(rank)
        except MCLDError as error:
            if self.setup.leases_dir.is_dir():  # else this machine sees another folder, or none
                write_outcome(self.files, rank=rank, error=error)
            if not isinstance(error, TrainingStoppedError):
                raise


def num_ranks_on(cluster: Cluster, *, runtime: RuntimeParams) -> int:
    """How many processes train: as asked for, or one a GPU, or one.

    Raises ConfigError when there is no place for them, or params place them themselves.
    """
    if runtime.num_nodes > 1 or runtime.node_rank or runtime.rendezvous:
        raise ConfigError(
            "runtime.num_nodes: with runtime.launcher ray the cluster places the processes; set "
            "num_processes to all of them, num_nodes to 1, node_rank to 0 and rendezvous to null"
        )
    size = size_of_rank(cluster, runtime=runtime)
    num_places = cluster.num_places(size)
    num_ranks = runtime.num_processes or (num_places if size.gpus else 1)
    if num_ranks > num_places:
        raise ConfigError(
            f"runtime.num_processes: {num_ranks} processes with {size} each, and the Ray cluster at "
            f"{cluster.address} has place for {num_places}; lower it or runtime.ray_cpus_per_worker, or add "
            "machines"
        )
    return num_ranks


def size_of_rank(cluster: Cluster, *, runtime: RuntimeParams) -> WorkerSize:
    """With a GPU of its own, unless GPUs are forbidden. Raises ConfigError when one is asked for in vain."""
    without, size = (WorkerSize(cpus=runtime.ray_cpus_per_worker, gpus=gpus) for gpus in (0.0, 1.0))
    if runtime.device == "cpu":
        return without
    if cluster.num_places(size):
        return size
    if runtime.device == "cuda":
        raise ConfigError(
            f"runtime.device: 'cuda' is asked for, and no machine of the Ray cluster has {size}; use 'auto' "
            "or 'cpu'"
        )
    return without


def launch_on_cluster(
    train: Callable[[int], None],
    *,
    cluster: Cluster,
    num_ranks: int,
    runtime: RuntimeParams,
    job_dir: Path,
) -> None:
    """Call `train` with its rank in `num_ranks` processes, and wait.

    Groups with a lost process are started again up to `runtime.max_restarts` times. SIGTERM and SIGINT ask
    all to stop. Raises what `launch` does.
    """
    files = JobFiles(directory=job_dir.resolve())
    leases_dir = files.directory / "leases"
    revoke_all(leases_dir)
    shutil.rmtree(files.directory)
    leases_dir.mkdir(parents=True)
    size = size_of_rank(cluster, runtime=runtime)
    group = RankGroup(
        num_ranks=num_ranks,
        size=size,
        backend="cpu:gloo,cuda:nccl" if size.gpus else "gloo",
        timeout_s=runtime.collective_timeout_s,
        max_restarts=runtime.max_restarts,
        files_dir=files.directory / "ray",
    )
    setup = WorkerSetup.here(leases_dir, environment={STOP_FILE: str(files.stop)})
    trying = _Trying(ClusterRank(setup=setup, files=files, train=train), group=group)
    try:
        _wait(trying, files=files, head=HeadWatch(cluster.address))
    finally:
        shutil.rmtree(leases_dir)
    _raise_outcome(files, lost=trying.lost)


def causes(files: JobFiles) -> list[MCLDError]:
    """The sentences that no other try can change; who lost another process knows less than Ray does."""
    return [error for error in files.outcomes() if not isinstance(error, WorkerError)]


class _Trying(threading.Thread):
    """Ray's training, in a thread of its own: it hears no signal, and would wait for a dead head."""

    def __init__(self, rank: ClusterRank, *, group: RankGroup) -> None:
        super().__init__(daemon=True, name="ray-train")
        self.lost: WorkerLostError | None = None
        self.failure: Exception | None = None
        self._rank, self._group = rank, group
        self.start()

    def run(self) -> None:
        """Keep how it ended for the thread that waits."""
        try:
            run_ranks(self._rank, group=self._group)
        except WorkerLostError as error:
            self.lost = error
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            self.failure = error


def _wait(trying: _Trying, *, files: JobFiles, head: HeadWatch) -> None:
    with signals_received() as received:
        while trying.is_alive():
            trying.join(POLL_S)
            _ask_to_stop(files, received=received)
            head.look("train")
    if trying.failure is not None:
        raise trying.failure


def _ask_to_stop(files: JobFiles, *, received: Sequence[int]) -> None:
    if received and not files.stop.is_file():
        write_bytes(files.stop, data=str(int(received[0])).encode())
    if len(received) > 1:
        raise TrainingStoppedError(
            f"train: ended by a second {signal.Signals(received[1]).name}; repeat the command to go on from "
            "the last checkpoint"
        )


def _raise_outcome(files: JobFiles, *, lost: WorkerLostError | None) -> None:
    found = causes(files)
    if found:
        raise found[0]
    if lost is not None:
        raise WorkerError(
            f"train: {lost}; the others were ended, checkpoints are kept: repeat the command to go on from "
            "the last one"
        ) from lost
