"""Ray, for those who know nothing of it: connect, count places, start workers, call them, let them go."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcld.cluster.address import HOW_TO_START, answers, wanted_address
from mcld.cluster.setup import CODE_DIR
from mcld.errors import ConfigError, MCLDError

STARTS_TRIED = 3  # of a group whose processes do not come up
Call = Any  # Ray's reference to what a call will return
Shared = Any  # Ray's reference to bytes


class WorkerLostError(Exception):
    """A worker's process has ended, or its machine is gone; the message is Ray's reason, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSize:
    """What a process has of its machine, in Ray's count: it is no limit, but how many fit depends on it."""

    cpus: float
    gpus: float = 0.0

    @property
    def resources(self) -> dict[str, float]:
        """By Ray's names."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A connected cluster."""

    address: str  # host:port of its head

    def num_places(self, size: WorkerSize) -> int:
        """How many workers of that size its machines hold at once, if nothing else runs there."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(
            int(min(have.get(name, 0.0) // wanted for name, wanted in size.resources.items()))
            for have in machines
        )

    def share(self, function: Callable[..., object]) -> Shared:
        """Bring a function into the cluster once, however many workers will need it."""
        import ray

        return ray.put(pickle.dumps(function))

    def start(self, begin: Callable[[], None], *, function: Shared, size: WorkerSize) -> tuple[Worker, Call]:
        """Ask for a worker, which calls `begin`, and then `function` on what it is given.

        The first call is done when it has begun; it waits for as long as there is no place.
        """
        import ray

        options = {"num_cpus": size.cpus, "num_gpus": size.gpus, "max_restarts": 0}
        actor: Any = ray.remote(_process()).options(**options, scheduling_strategy="SPREAD").remote()
        return Worker(actor=actor), actor.begin.remote(str(CODE_DIR), pickle.dumps(begin), function)

    def wait(self, calls: Sequence[Call], *, timeout_s: float) -> list[Call]:
        """Those that are done; none if that takes longer than `timeout_s`."""
        import ray

        done, _ = ray.wait(list(calls), num_returns=1, timeout=timeout_s)
        return list(done)

    def result(self, call: Call) -> object:
        """What the call returned. Raises the MCLDError that it raised, or WorkerLostError."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            outcome: object = pickle.loads(bytes(ray.get(call)))  # noqa: S301 - of our own worker
        except RayTaskError:
            raise  # not for users: a mistake of ours, with the worker's traceback
        except RayError as error:
            raise WorkerLostError(_first_line(error)) from error
        if isinstance(outcome, MCLDError):
            raise outcome
        return outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process of the cluster that is ours."""

    actor: Any  # Ray's handle of its process

    def call(self, item: object) -> Call:
        """Begin its function on an item, after what it does already."""
        return self.actor.apply.remote(pickle.dumps(item))

    def end(self) -> None:
        """Kill it, whatever it does."""
        import ray

        ray.kill(self.actor)


def _process() -> type:
    """What runs in the worker: one call after another; models that a call loads stay loaded for the next.

    Made here, a class travels by value, and so reaches processes in which our code cannot be imported yet.
    """

    class Process:
        def begin(self, code_dir: str, begin: bytes, function: bytes) -> bytes:
            import sys

            if code_dir not in sys.path:
                sys.path.insert(0, code_dir)
            from mcld.cluster.setup import outcome_of

            outcome_of_item, outcome = outcome_of(begin, function=function)
            self.apply_to = outcome_of_item
            return outcome

        def apply(self, item: bytes) -> bytes:
            outcome: bytes = self.apply_to(item)
            return outcome

    return Process


@dataclass(frozen=True, slots=True, kw_only=True)
class RankGroup:
    """How many processes train, with what each, and how they find each other."""

    num_ranks: int
    size: WorkerSize
    backend: str  # of torch.distributed
    timeout_s: int  # of a collective
    max_restarts: int
    files_dir: Path  # shared; what Ray Train notes


def run_ranks(train: Callable[[], None], *, group: RankGroup) -> None:
    """Call `train` in processes under Ray Train's TorchTrainer, which starts all anew when one is lost.

    `train` finds torchrun's variables in the environment and a process group that is open. Raises
    WorkerLostError when processes were lost once too often, or raised something.
    """
    from ray.train import TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    # Ray's own annotations still name the classes of its former version.
    run_config: Any = RunConfig(
        name="train",
        storage_path=str(group.files_dir),
        failure_config=FailureConfig(max_failures=group.max_restarts, controller_failure_limit=STARTS_TRIED),
        worker_runtime_env={"env_vars": {"PYTHONPATH": _search_path()}},
        logging_config=LoggingConfig(log_level="WARNING"),
    )
    trainer = TorchTrainer(
        train,
        torch_config=TorchConfig(backend=group.backend, timeout_s=group.timeout_s),
        scaling_config=ScalingConfig(
            num_workers=group.num_ranks,
            use_gpu=group.size.gpus > 0,
            resources_per_worker=group.size.resources,
        ),
        run_config=run_config,
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise WorkerLostError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Who was lost, rather than who lost him."""
    from ray.exceptions import RayActorError

    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    lost = {rank: one for rank, one in failures.items() if isinstance(one, RayActorError)}
    for rank, one in sorted((lost or failures).items()):
        return f"process {rank}: {_first_line(one)}"
    return _first_line(getattr(error, "controller_failure", error))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _search_path() -> str:
    return os.pathsep.join(filter(None, [str(CODE_DIR), os.environ.get("PYTHONPATH")]))


@contextmanager
def connected(named_address: str | None) -> Iterator[Cluster]:
    """Within it this process belongs to a cluster: of `runtime.ray_address`, RAY_ADDRESS, or this machine.

    Raises ConfigError when Ray is not installed, or nobody answers there, or the answer is no. No cluster is
    ever started.
    """
    address = wanted_address(named_address)
    if address != "auto" and not answers(address):
        raise ConfigError(f"runtime.ray_address: no Ray head answers at {address}; {HOW_TO_START}")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "runtime: Ray is asked for and not installed; pip install 'mcld[cluster]', or do without "
            "(runtime.mapper: local, runtime.launcher: torchrun)"
        ) from error
    with _signals_kept():
        _connect(address)
    try:
        yield Cluster(address=ray.get_runtime_context().gcs_address)
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(
            address=address,
            namespace="mcld",
            configure_logging=False,
        )
    except AuthenticationError as error:
        raise ConfigError(
            f"runtime.ray_address: the Ray cluster at {address} does not take this machine's token; put the "
            "cluster's own into ~/.ray/auth_token, or name its file in RAY_AUTH_TOKEN_PATH"
        ) from error
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"runtime.ray_address: this machine cannot join the Ray cluster at {address} "
            f"({_first_line(error)}); {HOW_TO_START}"
        ) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM to itself; a stage has its own way to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
