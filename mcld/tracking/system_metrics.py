"""Sample this machine's load, under MLflow's names, which its page "System metrics" shows.

GPUs are asked through `nvidia-smi`: it comes with the driver, and unlike a question through CUDA it takes no
memory on the devices.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_EVERY_S = 10.0
GPU_TIMEOUT_S = 5.0
GPU_QUESTION = "index,utilization.gpu,memory.used,memory.total,power.draw,enforced.power.limit"
BYTES_PER_MIB = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class SystemWatch:
    """A thread that calls `log` with one sample and its number every few seconds."""

    disk: Path  # its file system is watched
    first_sample: int
    log: Callable[[Mapping[str, float], int], None]
    every_s: float = SAMPLE_EVERY_S
    _is_over: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to sample."""
        self._thread = threading.Thread(target=self._work, name="system-metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, after the sample under way."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(2 * GPU_TIMEOUT_S)

    def _work(self) -> None:
        import psutil

        sample = self.first_sample
        network = psutil.net_io_counters()
        start_bytes = network.bytes_recv, network.bytes_sent
        psutil.cpu_percent()  # the first answer speaks of no time at all
        while not self._is_over.wait(self.every_s):
            values = machine_sample(self.disk, start_bytes=start_bytes) | gpu_sample()
            self.log({f"system/{name}": value for name, value in values.items()}, sample)
            sample += 1


def machine_sample(disk: Path, *, start_bytes: tuple[int, int]) -> dict[str, float]:
    """Load of CPU, memory, disk and network now; `start_bytes` were received and sent at the start."""
    import psutil

    memory, space, network = psutil.virtual_memory(), psutil.disk_usage(str(disk)), psutil.net_io_counters()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / 1e6,
        "system_memory_usage_percentage": memory.used / memory.total * 100,
        "disk_usage_percentage": space.percent,
        "disk_usage_megabytes": space.used / 1e6,
        "disk_available_megabytes": space.free / 1e6,
        "network_receive_megabytes": (network.bytes_recv - start_bytes[0]) / 1e6,
        "network_transmit_megabytes": (network.bytes_sent - start_bytes[1]) / 1e6,
    }


def gpu_sample() -> dict[str, float]:
    """Load, memory and power of every NVIDIA GPU of this machine now; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    command = [program, f"--query-gpu={GPU_QUESTION}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=GPU_TIMEOUT_S)
    except (subprocess.SubprocessError, OSError) as error:
        logger.debug("nvidia-smi does not answer: %s", error)
        return {}
    return read_gpu_answer(answer.stdout)


def read_gpu_answer(text: str) -> dict[str, float]:
    """The values of nvidia-smi's table. What a GPU does not tell ("[N/A]") is left out."""
    values: dict[str, float] = {}
    for line in text.splitlines():
        index, load, used_mib, total_mib, watts, limit_watts = (cell.strip() for cell in line.split(","))
        name = f"gpu_{index}"
        used, total, power, limit = (_number(cell) for cell in (used_mib, total_mib, watts, limit_watts))
        if (utilisation := _number(load)) is not None:
            values[f"{name}_utilization_percentage"] = utilisation
        if used is not None:
            values[f"{name}_memory_usage_megabytes"] = used * BYTES_PER_MIB / 1e6
        if used is not None and total:
            values[f"{name}_memory_usage_percentage"] = used / total * 100
        if power is not None:
            values[f"{name}_power_usage_watts"] = power
        if power is not None and limit:
            values[f"{name}_power_usage_percentage"] = power / limit * 100
    return values


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
