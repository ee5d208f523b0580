"""Ray, for those who know nothing of it: connect, count places, start workers, call them, let them go."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mcld.cluster.address import HOW_TO_START, answers, wanted_address
from mcld.cluster.setup import CODE_DIR, WorkerSetup
from mcld.errors import ConfigError, MCLDError

Call = Any  # Ray's reference to what a call will return


class WorkerLostError(Exception):
    """A worker's process has ended, or its machine is gone; the message is Ray's reason, one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A connected cluster."""

    address: str  # host:port of its head

    def num_places(self, *, cpus: float, gpus: float = 0.0) -> int:
        """How many workers of that size its machines hold at once, if nothing else runs there."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(
            int(min(have.get("CPU", 0.0) // cpus, have.get("GPU", 0.0) // gpus if gpus else float("inf")))
            for have in machines
        )

    def start(self, setup: WorkerSetup, *, cpus: float, gpus: float = 0.0) -> tuple[Worker, Call]:
        """Ask for a worker; the call is done when it has begun. It waits for as long as there is no place."""
        import ray

        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        actor: Any = ray.remote(_process()).options(**options).remote()
        worker = Worker(actor=actor)
        return worker, worker.call(setup.begin)

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
            raise WorkerLostError(str(error).strip().partition("\n")[0]) from error
        if isinstance(outcome, MCLDError):
            raise outcome
        return outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process of the cluster that is ours."""

    actor: Any  # Ray's handle of its process

    def call(self, function: Callable[..., object], *arguments: object) -> Call:
        """Begin `function(*arguments)` there, after what it does already."""
        return self.actor.apply.remote(str(CODE_DIR), pickle.dumps((function, arguments)))

    def end(self) -> None:
        """Kill it, whatever it does."""
        import ray

        ray.kill(self.actor)


def _process() -> type:
    """What runs in the worker: one call after another; models that a call loads stay loaded for the next.

    Made here, a class travels by value, and so reaches processes in which our code cannot be imported yet.
    """

    class Process:
        def apply(self, code_dir: str, work: bytes) -> bytes:
            import sys

            if code_dir not in sys.path:
                sys.path.insert(0, code_dir)
            from mcld.cluster.setup import apply

            return apply(work)

    return Process


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
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"runtime.ray_address: this machine cannot join the Ray cluster at {address} ({reason}); "
            f"{HOW_TO_START}"
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
