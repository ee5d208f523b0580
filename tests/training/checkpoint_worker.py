"""One of two processes that save and load checkpoints in every way of holding a model.

    torchrun --nproc-per-node 2 tests/training/checkpoint_worker.py FOLDER

FOLDER/plain holds what one process saved. Whole tensors go to FOLDER/results.safetensors, as WAY/NAME; what
was seen besides to FOLDER/events.json, by rank.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from mcld.errors import DataError
from mcld.training.checkpoint import CheckpointStore, TrainingState
from mcld.training.checkpoint_tensors import tensors_of
from tests.training.checkpoint_states import TinyNetwork, Wrap, tiny_state, train

FINGERPRINT = "run"
STEP, LATER_STEP = 3, 4


def replicated(module: nn.Module) -> nn.Module:
    return DistributedDataParallel(module)


def sharded(module: nn.Module) -> nn.Module:
    assert isinstance(module, TinyNetwork)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for part in (module.first, module.last, module.frozen, module):
        fully_shard(part, mesh=mesh)
    return module


WAYS: dict[str, Wrap] = {"replicated": replicated, "sharded": sharded}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    results: dict[str, Tensor] = {}
    events: dict[str, object] = {}
    for way, wrap in WAYS.items():
        state = tiny_state(num_steps=STEP, wrap=wrap)
        results |= whole(state, prefix=f"first-{way}")
        events[f"sums-{way}"] = save_beside_collectives(state, directory=folder / way)
        results |= whole(state, prefix=f"last-{way}")
    for way, wrap in WAYS.items():
        for source in ("plain", *WAYS):
            state = tiny_state(seed=9, wrap=wrap)
            events[f"step-{source}-{way}"] = open_store(folder / source).resume(state)
            results |= whole(state, prefix=f"{source}-{way}")
    damage_what_the_second_process_wrote(folder / "sharded")
    state = tiny_state(seed=9, wrap=sharded)
    events["step-damaged"] = open_store(folder / "sharded").resume(state)
    results |= whole(state, prefix="damaged")
    events["full"] = error_when_one_disk_is_full(folder / "replicated")
    by_rank: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(by_rank, events)
    if dist.get_rank() == 0:
        save_file(results, folder / "results.safetensors")
        (folder / "events.json").write_text(json.dumps(by_rank))
    dist.destroy_process_group()


def open_store(directory: Path) -> CheckpointStore:
    return CheckpointStore.open(directory, fingerprint=FINGERPRINT, keep_last=2, keep_every=0, facts={})


def save_beside_collectives(state: TrainingState, *, directory: Path) -> list[float]:
    """Save, and go on training and summing over the processes while it is written."""
    store = open_store(directory)
    store.save(state, step=STEP)
    sums = []
    for number in range(20):
        value = torch.tensor(float(number + dist.get_rank()))
        dist.all_reduce(value)
        sums.append(float(value))
    train(state, num_steps=1)
    store.save(state, step=LATER_STEP)
    store.finish()
    return sums


def damage_what_the_second_process_wrote(directory: Path) -> None:
    """One byte of the newest checkpoint."""
    if dist.get_rank() == 0:
        path = next((directory / FINGERPRINT / f"step-{LATER_STEP:06d}").glob("shard-00002-model-00001*"))
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    dist.barrier()


def error_when_one_disk_is_full(directory: Path) -> str:
    """The second process can write no file; what each is told."""
    store, state = open_store(directory), tiny_state(wrap=replicated)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if dist.get_rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
    store.save(state, step=5)
    try:
        store.finish()
    except DataError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return ""


def whole(state: TrainingState, *, prefix: str) -> dict[str, Tensor]:
    """Copies, gathered where each process has only its share."""
    gathered = {
        name: value.full_tensor() if isinstance(value, DTensor) else value
        for name, value in tensors_of(state).items()
    }
    return {f"{prefix}/{name}": value.detach().clone().contiguous() for name, value in gathered.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
