"""`mcld shards push` and `verify --at`: a set that looks whole is whole, and a kill costs one part."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.data.shard_transfer import push_shards, verify_pushed
from mcld.errors import DataError
from mcld.storage.multipart import TransferSettings
from tests.data.shard_factory import write_shards
from tests.s3_server import Fault
from tests.stores import Store
from tests.workspaces import environment, run_mcld

VIEWS = ((2, 3), (4,), (2, 2))
PARTS = TransferSettings(part_bytes=4096, num_threads=1)
PUSH = """
import sys
from pathlib import Path
from mcld.data.shard_transfer import push_shards
from mcld.storage.multipart import TransferSettings
from mcld.storage.s3 import S3Folder
folder = S3Folder.at(sys.argv[2], endpoint=sys.argv[3])
push_shards(Path(sys.argv[1]), folder=folder, settings=TransferSettings(part_bytes=4096, num_threads=1))
"""


@pytest.fixture
def shards_dir(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "artifacts" / "shards", views_per_outfit=VIEWS)


def shard_names(directory: Path) -> list[str]:
    return [record.path for record in read_manifest(directory).parts]


def kill_in_the_middle(shards_dir: Path, *, store: Store, fault: Fault) -> None:
    """Push in another process, and kill it when the endpoint meets the fault, which stalls."""
    store.script.begin(fault)
    arguments = [sys.executable, "-c", PUSH, str(shards_dir), store.folder.place, store.server.endpoint]
    with subprocess.Popen(arguments, env=environment()) as process:
        is_stalled = store.script.stalled.wait(60)
        process.kill()
        assert is_stalled
        assert process.wait() == -signal.SIGKILL
    store.script.released.set()


def test_a_killed_push_goes_on_with_the_part_that_it_was_killed_in(store: Store, shards_dir: Path) -> None:
    first, second, _ = shard_names(shards_dir)
    stall = Fault(kind="stall", method="PUT", match=f"{second}.*partNumber=3")
    kill_in_the_middle(shards_dir, store=store, fault=stall)
    assert store.names() == {first}
    with pytest.raises(DataError, match=r"manifest\.json: not found"):
        verify_pushed(store.folder, deep=False)

    store.script.begin()
    done = push_shards(shards_dir, folder=store.folder, settings=PARTS)
    assert (done.num_sent, done.num_skipped) == (4, 1)  # two shards, the samples, the manifest
    assert not store.script.of("PUT", first)
    sent = [request.path for request in store.script.of("PUT", second)]
    assert sent
    assert {int(path.partition("partNumber=")[2].partition("&")[0]) for path in sent}.isdisjoint({1, 2})
    assert store.script.of("PUT", "")[-1].path.endswith(MANIFEST_NAME)
    for name in (*shard_names(shards_dir), MANIFEST_NAME):
        assert store.folder.read(name) == (shards_dir / name).read_bytes()
    assert verify_pushed(store.folder, deep=True).num_shards == len(VIEWS)


def test_a_set_that_is_being_replaced_does_not_look_whole(store: Store, shards_dir: Path) -> None:
    push_shards(shards_dir, folder=store.folder, settings=PARTS)
    write_shards(shards_dir, views_per_outfit=((5,), *VIEWS[1:]))
    stall = Fault(kind="stall", method="PUT", match=f"{shard_names(shards_dir)[0]}.*partNumber=1")
    kill_in_the_middle(shards_dir, store=store, fault=stall)
    assert MANIFEST_NAME not in store.names()
    push_shards(shards_dir, folder=store.folder, settings=PARTS)
    assert verify_pushed(store.folder, deep=True).num_unhashed == 0


def test_a_damaged_shard_is_not_pushed(store: Store, shards_dir: Path) -> None:
    path = shards_dir / shard_names(shards_dir)[1]
    data = bytearray(path.read_bytes())
    data[700] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{path.name}: damaged: .*nothing was sent"):
        push_shards(shards_dir, folder=store.folder)
    assert MANIFEST_NAME not in store.names()


def test_damage_at_the_store_is_named(store: Store, shards_dir: Path) -> None:
    push_shards(shards_dir, folder=store.folder)
    name = shard_names(shards_dir)[2]
    data = (shards_dir / name).read_bytes()
    store.put(name, bytes(len(data)))  # by another tool, which tells no sha256
    assert verify_pushed(store.folder, deep=False).num_unhashed == 1
    with pytest.raises(DataError, match=rf"set/{name}: damaged: sha256 .*; push the shards again"):
        verify_pushed(store.folder, deep=True)
    store.put(name, data[:-1])
    with pytest.raises(
        DataError, match=rf"set/{name}: has {len(data) - 1} bytes, the manifest says {len(data)}"
    ):
        verify_pushed(store.folder, deep=False)
    store.folder.bucket.remove(store.folder.key(name))
    with pytest.raises(DataError, match=rf"set/{name}: missing, though the manifest names it"):
        verify_pushed(store.folder, deep=False)


def test_the_commands_push_verify_and_tell_faults_in_a_sentence(store: Store, shards_dir: Path) -> None:
    root = shards_dir.parents[1]
    endpoint = ("--endpoint", store.server.endpoint)
    for expected in ("5 files sent", "0 files sent (0.0 MB), 5 were there already"):
        done = run_mcld("shards", "push", store.folder.place, *endpoint, cwd=root)
        assert (done.returncode, expected in done.stdout) == (0, True), done.stderr
    for arguments in ((), ("--deep",)):
        found = run_mcld("shards", "verify", "--at", store.folder.place, *endpoint, *arguments, cwd=root)
        assert found.returncode == 0, found.stderr
        assert found.stdout.startswith(f"{store.folder.place}: 3 shards, ")
        assert found.stdout.endswith(": whole\n")
    lost = run_mcld("shards", "push", "s3://nowhere/set", *endpoint, cwd=root)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "s3://nowhere: there is no such bucket" in lost.stderr
    assert "Traceback" not in lost.stderr
