"""The files of one checkpoint: PyTorch's distributed checkpoint in safetensors, and a record that vouches.

    step-000100/shard-00001-model-00001-of-00003.safetensors    what the first process wrote
    step-000100/shard-00002-model-00001-of-00003.safetensors    … the second; the last of them the generators
    step-000100/record.json                                     written last: step, facts, every file's sha256

The planner and the storage are `torch.distributed.checkpoint`'s (DCP): a process writes its shares of shared
tensors, and any number of processes reads them back. Its usual storage keeps a pickled plan, so this one is
its Hugging Face storage: each file says in its own header where its tensors lie in the whole ones. Tried on
plain, 0-d, empty, boolean and bfloat16 tensors and on DTensors of FSDP2 with uneven and empty shares, between
one and two processes: all came back bit for bit, so no format of our own is needed. Two things are done
around it. It builds a file in memory before it writes it, so files are kept small. And the exchanges between
its steps are ours: they fail together with an error of ours, and need no process group when alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.planner import SavePlan, WriteItem

from mcld.errors import CheckpointError, DataError
from mcld.storage import read_json, sha256_of_bytes, sha256_of_file
from mcld.training.checkpoint_peers import Peers
from mcld.types import Checkpoint

RECORD_NAME = "record.json"
FORMAT_VERSION = 2
NUM_NAMED = 3  # differences that an error lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What this process writes: the tensors to plan by, and the copies of its own shares to write.

    `tensors` are the living ones; only their shapes and places are looked at. `file_numbers` says of every
    tensor of the state, this process's or not, which file it goes to, from 1.
    """

    tensors: Mapping[str, Tensor]
    copies: Mapping[str, Tensor]
    file_numbers: Mapping[str, int]


class _SnapshotPlanner(DefaultSavePlanner):
    """Plans by the living tensors and hands out the copies."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._copies = snapshot.copies

    def resolve_data(self, write_item: WriteItem) -> Tensor:
        return self._copies[write_item.index.fqn]


def write_tensors(directory: Path, *, snapshot: Snapshot, peers: Peers) -> None:
    """Write and fsync this process's files. Raises DataError, in every process, when one cannot write."""
    planner = _SnapshotPlanner(snapshot)
    writer = HuggingFaceStorageWriter(
        str(directory), fqn_to_index_mapping=dict(snapshot.file_numbers), save_distributed=True
    )
    # What is written lies in main memory: copying ahead would only wait for the GPU's other work.
    writer.per_thread_copy_ahead = 0

    def plan_own() -> SavePlan:
        planner.set_up_planner(dict(snapshot.tensors), is_coordinator=peers.is_first)
        writer.set_up_storage_writer(peers.is_first)
        with writing(directory):  # makes the folder
            return writer.prepare_local_plan(planner.create_local_plan())

    def write(plan: SavePlan) -> None:
        with writing(directory):
            writer.write_data(planner.finish_plan(plan), planner).wait()

    plans = peers.agree(plan_own)
    joint = peers.first(lambda: writer.prepare_global_plan(planner.create_global_plan(plans)[0]))
    peers.agree(lambda: write(joint[peers.rank]))


def stored_tensors(directory: Path) -> dict[str, TensorStorageMetadata]:
    """Shapes and dtypes of all tensors in a folder, from the headers of its files."""
    stored = HuggingFaceStorageReader(str(directory)).read_metadata().state_dict_metadata
    return {name: like for name, like in stored.items() if isinstance(like, TensorStorageMetadata)}


def check_tensors(
    wanted: Mapping[str, Tensor], *, stored: Mapping[str, TensorStorageMetadata], place: Path
) -> None:
    """Raises CheckpointError naming tensors that are missing, left over, or of another shape or dtype."""
    faults = [f"'{name}' is missing" for name in sorted(wanted.keys() - stored.keys())]
    faults += [f"'{name}' is not of this model" for name in sorted(stored.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & stored.keys()):
        here, there = wanted[name], stored[name]
        if here.shape != there.size or here.dtype != there.properties.dtype:
            there_dtype = there.properties.dtype
            faults.append(
                f"'{name}' is {tuple(there.size)} {there_dtype}, not {tuple(here.shape)} {here.dtype}"
            )
    if faults:
        more = f" and {len(faults) - NUM_NAMED} more" if len(faults) > NUM_NAMED else ""
        raise CheckpointError(
            f"{place}: does not fit this training: {'; '.join(faults[:NUM_NAMED])}{more}; "
            "train with the settings it was made with, or delete the folder to start anew"
        )


def read_tensors(directory: Path, *, wanted: dict[str, Tensor]) -> None:
    """Fill `wanted`, whole tensors or shares, from the files of any number of processes. No one is asked."""
    reader = HuggingFaceStorageReader(str(directory))
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    metadata = reader.read_metadata()
    planner.set_up_planner(wanted, metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    plan = reader.prepare_local_plan(planner.create_local_plan())
    reader.read_data(planner.finish_plan(plan), planner).wait()


def hashed_files(directory: Path, *, rank: int) -> dict[str, dict[str, object]]:
    """Size and sha256 by name of the files that a process wrote."""
    with writing(directory):
        return {
            path.name: {"num_bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
            for path in sorted(directory.glob(f"shard-{rank + 1:05d}-*.safetensors"))
        }


def read_record(path: Path, *, fingerprint: str) -> dict[str, object]:
    """The record of a checkpoint of this run. Raises CheckpointError or DataError, naming the place."""
    record = read_json(path / RECORD_NAME)
    if not isinstance(record, dict) or record.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(f"{path}: its record is not of format {FORMAT_VERSION}")
    if record.get("fingerprint") != fingerprint:
        raise CheckpointError(f"{path}: belongs to a run with other parameters or data")
    return record


def check_files(path: Path, *, record: Mapping[str, object], peers: Peers) -> None:
    """Compare all bytes with the record, each process a share of the files; all agree in what they find.

    Raises CheckpointError naming the file.
    """

    def check_share() -> None:
        files = record["files"]
        assert isinstance(files, dict)
        for name in sorted(files)[peers.rank :: peers.num_ranks]:
            _check_file(path / name, num_bytes=files[name]["num_bytes"], sha256=files[name]["sha256"])

    peers.agree(check_share)


def checkpoint_at(path: Path) -> Checkpoint:
    """The checkpoint in a folder, as its record tells it; the files are not looked at."""
    content = (path / RECORD_NAME).read_bytes()
    record = json.loads(content)
    return Checkpoint(
        step=record["step"],
        path=path,
        sha256=sha256_of_bytes(content),
        num_bytes=sum(entry["num_bytes"] for entry in record["files"].values()),
        files={name: entry["sha256"] for name, entry in record["files"].items()},
    )


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turns what a disk refuses into an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{directory}: the checkpoint cannot be written ({error.strerror or error}); the one before is "
            "kept. Free some space or lower runtime.keep_last_checkpoints, then repeat the command"
        ) from error


def _check_file(path: Path, *, num_bytes: int, sha256: str) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: is missing")
    if path.stat().st_size != num_bytes:
        raise CheckpointError(
            f"{path}: is damaged ({path.stat().st_size} bytes, its record says {num_bytes})"
        )
    if sha256_of_file(path) != sha256:
        raise CheckpointError(f"{path}: is damaged (its bytes do not match its record)")
