"""Files go to a store and come back whole; a repeated call sends only what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcld.errors import DataError, StorageError
from mcld.storage import sha256_of_bytes, write_bytes
from mcld.storage.multipart import TransferSettings
from mcld.storage.transfer import download_file, upload_file, upload_folder
from tests.s3_server import Fault
from tests.stores import IMPATIENT, Store

PART_BYTES = 10_000
SETTINGS = TransferSettings(part_bytes=PART_BYTES, num_threads=3)
DATA = np.random.default_rng(0).integers(0, 256, 7 * PART_BYTES + 321, np.uint8).tobytes()
NUM_PARTS = 8
SIZES = [0, 1, PART_BYTES, PART_BYTES + 1, len(DATA)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_bytes(tmp_path / "a.tar", data=DATA)
    return tmp_path / "a.tar"


def send(path: Path, store: Store) -> bool:
    return upload_file(path, folder=store.folder, name="a.tar", settings=SETTINGS)


def num_begun_uploads(store: Store) -> int:
    return len(store.server.client().list_multipart_uploads(Bucket=store.bucket).get("Uploads", ()))


@pytest.mark.parametrize("num_bytes", SIZES)
def test_what_was_sent_comes_back_and_is_neither_sent_nor_fetched_twice(
    store: Store, tmp_path: Path, num_bytes: int
) -> None:
    sent, fetched = tmp_path / "sent", tmp_path / "fetched"
    sent.write_bytes(DATA[:num_bytes])
    assert upload_file(sent, folder=store.folder, name="x", settings=SETTINGS)
    assert download_file(fetched, folder=store.folder, name="x", settings=SETTINGS)
    assert fetched.read_bytes() == DATA[:num_bytes]
    facts = store.folder.facts("x")
    assert facts is not None
    assert facts.sha256 == sha256_of_bytes(DATA[:num_bytes])

    store.script.begin()
    assert not upload_file(sent, folder=store.folder, name="x", settings=SETTINGS)
    assert not download_file(fetched, folder=store.folder, name="x", settings=SETTINGS)
    assert {request.method for request in store.script.requests} == {"HEAD"}


def test_another_file_of_the_same_size_replaces_what_is_there(store: Store, path: Path) -> None:
    send(path, store)
    path.write_bytes(DATA[::-1])
    assert send(path, store)
    assert store.folder.read("a.tar") == DATA[::-1]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=503, method="PUT", match="partNumber=", times=3),
        Fault(kind="reset", method="PUT", match="partNumber=4", times=3),
        Fault(kind="stall", method="PUT", match="partNumber=4"),
        Fault(kind="lose_answer", method="PUT", match="partNumber=4", times=2),
        Fault(kind="status", status=500, method="POST", match="uploads", times=2),
        Fault(kind="status", status=500, method="POST", match="uploadId=", times=2),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.method}-{fault.match}",
)
def test_an_upload_survives_faults_that_pass(store: Store, path: Path, fault: Fault) -> None:
    store.script.begin(fault)
    folder = store.opened_with(IMPATIENT) if fault.kind == "stall" else store.folder
    assert upload_file(path, folder=folder, name="a.tar", settings=SETTINGS)
    assert fault.times == 0
    assert store.folder.read("a.tar") == DATA
    assert num_begun_uploads(store) == 0


def test_a_finished_upload_whose_answer_was_lost_is_finished(store: Store, path: Path) -> None:
    store.script.begin(Fault(kind="lose_answer", method="POST", match="uploadId="))
    assert send(path, store)
    assert store.folder.read("a.tar") == DATA


def test_an_upload_that_gave_up_goes_on_with_the_parts_that_were_sent(store: Store, path: Path) -> None:
    store.script.begin(Fault(kind="status", status=503, method="PUT", match="partNumber=8", times=100))
    with pytest.raises(StorageError, match=r"a\.tar: gave up after 4 tries, .*503"):
        send(path, store)
    assert store.folder.size("a.tar") is None
    assert num_begun_uploads(store) == 1

    store.script.begin()
    assert send(path, store)
    assert [request.path.partition("partNumber=")[2][0] for request in store.script.of("PUT", "a.tar")] == [
        "8"
    ]
    assert store.folder.read("a.tar") == DATA
    assert num_begun_uploads(store) == 0


@pytest.mark.parametrize(
    "changed_byte", [0, len(DATA) - 1]
)  # in a part that was sent, and in one that was not
def test_the_parts_of_another_file_are_not_taken_for_this_ones(
    store: Store, path: Path, changed_byte: int
) -> None:
    store.script.begin(Fault(kind="status", status=503, method="PUT", match="partNumber=8", times=100))
    with pytest.raises(StorageError):
        send(path, store)
    other = bytearray(DATA)
    other[changed_byte] ^= 0xFF
    path.write_bytes(other)
    store.script.begin()
    assert send(path, store)
    assert store.folder.read("a.tar") == bytes(other)
    facts = store.folder.facts("a.tar")
    assert facts is not None
    assert facts.sha256 == sha256_of_bytes(bytes(other))
    assert num_begun_uploads(store) == 0


def test_a_file_that_is_not_what_it_should_be_is_not_sent(store: Store, path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tar: damaged: .*nothing was sent"):
        upload_file(path, folder=store.folder, name="a.tar", sha256="0" * 64, settings=SETTINGS)
    with pytest.raises(DataError, match="missing: not found"):
        upload_file(path.with_name("missing"), folder=store.folder, name="missing")
    assert not store.names()


def test_a_folder_is_sent_in_its_order_and_repeats_skip(store: Store, tmp_path: Path) -> None:
    files = {name: sha256_of_bytes(name.encode()) for name in ("z", "a", "m")}
    for name in files:
        write_bytes(tmp_path / name, data=name.encode())
    done = upload_folder(tmp_path, files=files, folder=store.folder)
    assert (done.num_sent, done.num_bytes, done.num_skipped) == (3, 3, 0)
    sent = [request.path.rpartition("/")[2] for request in store.script.of("PUT", "set/")]
    assert sent == list(files)
    assert upload_folder(tmp_path, files=files, folder=store.folder).num_skipped == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=500, match="a.tar", times=3),
        Fault(kind="cut", match="a.tar", after_bytes=PART_BYTES // 3, times=3),
        Fault(kind="stalled_body", match="a.tar", after_bytes=PART_BYTES // 3),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_download_survives_faults_that_pass(store: Store, path: Path, fault: Fault) -> None:
    send(path, store)
    store.script.begin(fault)
    folder = store.opened_with(IMPATIENT) if fault.kind == "stalled_body" else store.folder
    assert download_file(path.with_name("b.tar"), folder=folder, name="a.tar", settings=SETTINGS)
    assert path.with_name("b.tar").read_bytes() == DATA
    assert fault.times == 0


def test_a_flipped_byte_is_refused_and_the_old_file_kept(store: Store, path: Path) -> None:
    send(path, store)
    path.write_bytes(b"old")
    store.script.begin(Fault(kind="flip", match="a.tar", skip=4, after_bytes=77))
    with pytest.raises(StorageError, match=r"set/a\.tar: damaged: sha256 .* expected .*"):
        download_file(path, folder=store.folder, name="a.tar", settings=SETTINGS)
    assert path.read_bytes() == b"old"
    assert [found.name for found in path.parent.iterdir()] == ["a.tar"]


def test_what_cannot_be_verified_is_not_fetched(store: Store, tmp_path: Path) -> None:
    store.put("x", DATA)
    with pytest.raises(StorageError, match="set/x: carries no sha256"):
        download_file(tmp_path / "x", folder=store.folder, name="x")
    assert download_file(
        tmp_path / "x", folder=store.folder, name="x", sha256=sha256_of_bytes(DATA), settings=SETTINGS
    )
    with pytest.raises(DataError, match="set/y: not found"):
        download_file(tmp_path / "y", folder=store.folder, name="y")
