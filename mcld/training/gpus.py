"""Common GPUs: what their makers publish, and what share of it a training step is expected to reach."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mcld.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Published dense peaks (no sparsity), and the memory that a driver offers of the nominal one, about.

    `bfloat16_tflops` is None where the chip has no bfloat16. `float32_tflops` is without TF32, which PyTorch
    does not use unless told.
    """

    name: str
    bfloat16_tflops: float | None
    float32_tflops: float
    memory_gib: float


GPUS = (
    Gpu(name="B200", bfloat16_tflops=2250, float32_tflops=75, memory_gib=178),
    Gpu(name="H200", bfloat16_tflops=989, float32_tflops=67, memory_gib=139),
    Gpu(name="H100", bfloat16_tflops=989, float32_tflops=67, memory_gib=79),
    Gpu(name="H100-PCIe", bfloat16_tflops=756, float32_tflops=51, memory_gib=79),
    Gpu(name="A100", bfloat16_tflops=312, float32_tflops=19.5, memory_gib=79),
    Gpu(name="A100-40GB", bfloat16_tflops=312, float32_tflops=19.5, memory_gib=39),
    Gpu(name="L40S", bfloat16_tflops=362, float32_tflops=91.6, memory_gib=44),
    Gpu(name="L4", bfloat16_tflops=121, float32_tflops=30.3, memory_gib=22),
    Gpu(name="A10", bfloat16_tflops=125, float32_tflops=31.2, memory_gib=22),
    Gpu(name="4090", bfloat16_tflops=165, float32_tflops=82.6, memory_gib=23.5),
    Gpu(name="3090", bfloat16_tflops=71, float32_tflops=35.6, memory_gib=23.5),
    Gpu(name="V100", bfloat16_tflops=None, float32_tflops=15.7, memory_gib=31),
    Gpu(name="V100-16GB", bfloat16_tflops=None, float32_tflops=15.7, memory_gib=15.5),
    Gpu(name="T4", bfloat16_tflops=None, float32_tflops=8.1, memory_gib=14.5),
)

# A whole step at full size on an H200, over its published 989 TFLOP/s: 322 compiled at 64 rows (41 % of what
# a large matrix product reached there), 208 eager at 32 rows (docs/log.md). For others it is an assumption.
COMPILED_SHARE_OF_PEAK = 0.326
EAGER_SHARE_OF_PEAK = 0.21
MEASURED_GPU = "H200"
# Of an eager step: an H200 took 0.20 s for 4 rows at full size, most of it to start 13,437 operations.
SECONDS_PER_OPERATION = 15e-6
# Left to the driver, to NCCL and to what the allocator cannot use.
RESERVED_SHARE = 0.05
# A compiled step of 64 rows kept 0.67 of what an eager one would, besides weights and optimiser.
COMPILED_MEMORY_SHARE = 0.67


def find_gpu(name: str) -> Gpu:
    """The GPU of a name, whatever its case. Raises ConfigError naming the known ones."""
    known = {_plain(gpu.name): gpu for gpu in GPUS}
    wanted = _plain(name)
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean {known[close[0]].name}? " if close else ""
    raise ConfigError(
        f"--gpu: '{name}' is unknown; {hint}known are {', '.join(gpu.name for gpu in GPUS)}; "
        "of another, give --gpu-memory alone"
    )


def gpu_of_device(device_name: str) -> Gpu | None:
    """The GPU whose name is part of a driver's, e.g. `NVIDIA H200`; None for one that is not known here."""
    plain = _plain(device_name)
    # Longer names first: an H100 PCIe is not an H100 SXM.
    matches = [gpu for gpu in GPUS if _plain(gpu.name) in plain]
    return max(matches, key=lambda gpu: len(gpu.name), default=None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
