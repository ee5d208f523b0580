"""The load of the machine, under the names that MLflow's page looks for."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcld.tracking.system_metrics import SystemWatch, gpu_sample, machine_sample, read_gpu_answer


def test_samples_are_numbered_on_and_named_as_mlflow_names_them(tmp_path: Path) -> None:
    seen: list[tuple[int, set[str]]] = []
    enough = threading.Event()

    def log(values: Mapping[str, float], sample: int) -> None:
        seen.append((sample, set(values)))
        if len(seen) == 2:
            enough.set()

    watch = SystemWatch(disk=tmp_path, first_sample=7, log=log, every_s=0.01)
    watch.start()
    assert enough.wait(30)
    watch.stop()
    assert [number for number, _ in seen][:2] == [7, 8]
    assert {"system/cpu_utilization_percentage", "system/disk_usage_percentage"} <= seen[0][1]


def test_our_names_are_those_of_mlflows_own_monitors(tmp_path: Path) -> None:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    theirs: set[str] = set()
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor):
        monitor: Any = kind()
        monitor.collect_metrics()
        theirs |= set(monitor.aggregate_metrics())
    assert set(machine_sample(tmp_path, start_bytes=(0, 0))) == theirs


def test_the_answer_of_nvidia_smi_is_read_and_what_a_gpu_hides_is_left_out() -> None:
    values = read_gpu_answer("0, 93, 40960, 81920, 350.5, 700.00\n1, [N/A], 1024, 8192, [N/A], [N/A]\n")
    assert values["gpu_0_utilization_percentage"] == 93
    assert values["gpu_0_memory_usage_percentage"] == 50
    assert round(values["gpu_0_memory_usage_megabytes"]) == 42950
    assert values["gpu_0_power_usage_watts"] == 350.5
    assert round(values["gpu_0_power_usage_percentage"], 2) == 50.07
    assert {name for name in values if name.startswith("gpu_1")} == {
        "gpu_1_memory_usage_megabytes",
        "gpu_1_memory_usage_percentage",
    }


def test_a_machine_without_gpus_says_nothing_of_them() -> None:
    assert all(name.startswith("gpu_") for name in gpu_sample())
