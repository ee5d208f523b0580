"""Ranges and whole objects over HTTP: what passes is waited for, what does not is told at once."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcld.errors import ConfigError, DataError, StorageError
from mcld.storage import LocalFolder, open_folder, sizes_of
from mcld.storage.s3 import CHUNK_BYTES, S3Folder
from tests.s3_server import Fault
from tests.stores import IMPATIENT, QUICK, Store

DATA = np.random.default_rng(0).integers(0, 256, 5 * CHUNK_BYTES + 123, np.uint8).tobytes()
SPAN = slice(1000, 1000 + 4 * CHUNK_BYTES)
LENGTH = SPAN.stop - SPAN.start


def read_span(folder: S3Folder) -> bytes:
    return folder.read_range("a.tar", offset=SPAN.start, num_bytes=LENGTH)


def test_an_object_reads_as_the_same_file_of_a_disk(store: Store, tmp_path: Path) -> None:
    store.put("a.tar", DATA)
    store.put("empty", b"")
    (tmp_path / "a.tar").write_bytes(DATA)
    (tmp_path / "empty").touch()
    ours, theirs = store.folder, LocalFolder(tmp_path)
    for name in ("a.tar", "empty", "missing"):
        assert ours.size(name) == theirs.size(name)
    for name in ("a.tar", "empty"):
        assert ours.read(name) == theirs.read(name)
        for offset, num_bytes in ((0, 1), (7, 70_000), (len(DATA) - 3, 10), (len(DATA), 5), (0, 0)):
            assert ours.read_range(name, offset=offset, num_bytes=num_bytes) == theirs.read_range(
                name, offset=offset, num_bytes=num_bytes
            )
    assert sizes_of(ours, names=["a.tar", "missing"]) == {"a.tar": len(DATA), "missing": None}


def test_a_range_is_one_request_of_that_range(store: Store) -> None:
    store.put("a.tar", DATA)
    assert read_span(store.folder) == DATA[SPAN]
    (request,) = store.script.of("GET", "a.tar")
    assert request.range == f"bytes={SPAN.start}-{SPAN.stop - 1}"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=500, match="a.tar", times=3),
        Fault(kind="status", status=503, match="a.tar", times=3),
        Fault(kind="reset", match="a.tar", times=3),
        Fault(kind="stall", match="a.tar"),
        Fault(kind="cut", match="a.tar", after_bytes=0, times=3),
        Fault(kind="cut", match="a.tar", after_bytes=CHUNK_BYTES + 17, times=3),
        Fault(kind="stalled_body", match="a.tar", after_bytes=CHUNK_BYTES + 17),
        Fault(kind="slow_body", match="a.tar"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.after_bytes}",
)
def test_faults_that_pass_leave_every_byte_right(store: Store, fault: Fault) -> None:
    store.put("a.tar", DATA)
    stalls = fault.kind in ("stall", "stalled_body")
    store.script.begin(fault)
    assert read_span(store.opened_with(IMPATIENT) if stalls else store.folder) == DATA[SPAN]
    assert fault.times == 0


def test_a_cut_body_goes_on_where_it_was_cut(store: Store) -> None:
    store.put("a.tar", DATA)
    store.script.begin(Fault(kind="cut", match="a.tar", after_bytes=2 * CHUNK_BYTES + 17))
    assert read_span(store.folder) == DATA[SPAN]
    ranges = [request.range for request in store.script.of("GET", "a.tar")]
    last = SPAN.stop - 1
    assert ranges == [f"bytes={SPAN.start}-{last}", f"bytes={SPAN.start + 2 * CHUNK_BYTES + 17}-{last}"]


def test_an_object_that_is_replaced_between_two_tries_is_not_mixed(store: Store) -> None:
    store.put("a.tar", DATA)
    chunks = store.folder.bucket.chunks(store.folder.key("a.tar"))
    store.script.begin(Fault(kind="cut", match="a.tar", after_bytes=CHUNK_BYTES))
    assert next(chunks) == DATA[:CHUNK_BYTES]
    store.put("a.tar", DATA[::-1])
    with pytest.raises(StorageError, match=r"a\.tar: was replaced while it was read .*; repeat the command"):
        b"".join(chunks)


@pytest.mark.parametrize("kind", ["reset", "stall", "status", "cut"])
def test_a_fault_that_stays_ends_in_an_error_after_the_bound(store: Store, kind: str) -> None:
    store.put("a.tar", DATA)
    store.script.begin(Fault(kind=kind, match="a.tar", status=503, times=100))  # type: ignore[arg-type]
    place = f"s3://{store.bucket}/set/a.tar"
    with pytest.raises(StorageError, match=rf"^{place}: gave up after 4 tries, .*repeat the command later"):
        read_span(store.opened_with(IMPATIENT) if kind == "stall" else store.folder)
    assert len(store.script.of("GET", "a.tar")) == QUICK.num_tries


def test_sizes_survive_faults_too(store: Store) -> None:
    store.put("a.tar", DATA)
    store.script.begin(Fault(kind="status", method="HEAD", match="a.tar", status=503, times=3))
    assert store.folder.size("a.tar") == len(DATA)


def test_a_store_without_ranges_is_refused(store: Store) -> None:
    store.put("a.tar", DATA)
    store.script.begin(Fault(kind="ignore_range", match="a.tar"))
    with pytest.raises(StorageError, match=r"byte 1000 on was asked for.* cannot be read in ranges"):
        read_span(store.folder)
    store.script.begin(Fault(kind="ignore_range", match="a.tar"))
    assert store.folder.read("a.tar") == DATA


def test_no_access_is_told_at_once_with_the_source_of_the_credentials(store: Store) -> None:
    store.put("a.tar", DATA)
    for method, read in (("GET", read_span), ("HEAD", lambda folder: folder.size("a.tar"))):
        store.script.begin(Fault(kind="status", method=method, status=403, match="a.tar", times=100))
        with pytest.raises(StorageError, match=r"set/a\.tar: access denied \(HTTP 403.*the environment"):
            read(store.folder)
        assert len(store.script.requests) == 1


@pytest.mark.parametrize(("method", "minutes"), [("GET", 0), ("GET", 90), ("HEAD", -90)])
def test_a_wrong_clock_is_told_with_the_remedy(store: Store, method: str, minutes: float) -> None:
    code = "RequestTimeTooSkewed" if method == "GET" else None  # an answer to HEAD names no reason
    fault = Fault(
        kind="status", method=method, status=403, code=code, clock_minutes=minutes, match="a.tar", times=9
    )
    store.script.begin(fault)
    told = {0: "too far from", 90: "90 minutes behind", -90: "90 minutes ahead of"}[int(minutes)]
    with pytest.raises(StorageError, match=rf"set/a\.tar: this machine's clock is {told} .*; set the clock"):
        store.folder.read("a.tar") if method == "GET" else store.folder.size("a.tar")
    assert len(store.script.requests) == 1


@pytest.mark.parametrize("kind", ["denied", "away", "no address"])
def test_no_error_shows_a_secret(store: Store, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    canary = "c4n4ry-Secret"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", canary)
    endpoint = store.server.endpoint.replace("://", f"://somebody:{canary}@")
    if kind == "away":
        endpoint = f"http://somebody:{canary}@127.0.0.1:9"
    store.script.begin(Fault(kind="status", status=403, match="a.tar", times=9))
    place = f"s3://somebody:{canary}@{store.bucket}/set" if kind == "no address" else store.folder.place
    with pytest.raises((StorageError, ConfigError)) as caught:
        S3Folder.at(place, endpoint=endpoint, retries=QUICK).read("a.tar")
    assert canary not in str(caught.value)
    assert "somebody" not in str(caught.value)


def test_a_missing_object_is_told_at_once(store: Store) -> None:
    for read in (read_span, lambda folder: folder.read("a.tar")):
        store.script.begin()
        with pytest.raises(DataError, match=rf"s3://{store.bucket}/set/a\.tar: not found .*environment"):
            read(store.folder)
        assert len(store.script.requests) == 1


def test_a_missing_bucket_is_told_at_once(store: Store) -> None:
    folder = S3Folder.at("s3://nowhere/set", endpoint=store.server.endpoint, retries=QUICK)
    with pytest.raises(StorageError, match=r"s3://nowhere/set/a\.tar: there is no such bucket .*environment"):
        read_span(folder)
    assert len(store.script.requests) == 1
    store.script.begin()
    with pytest.raises(StorageError, match="s3://nowhere: there is no such bucket"):
        folder.size("a.tar")
    assert [request.method for request in store.script.requests] == ["HEAD", "HEAD"]  # object, then bucket


def test_missing_credentials_are_told_without_a_request(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match=r"no credentials were found .*set AWS_ACCESS_KEY_ID"):
        read_span(store.folder)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    with pytest.raises(StorageError, match=r"a\.tar: .*AWS_SECRET_ACCESS_KEY"):
        read_span(store.opened_with(QUICK))
    assert not store.script.requests


def test_credentials_of_a_profile_are_named_as_such(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = tmp_path / "credentials"
    shared.write_text("[lab]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with pytest.raises(DataError, match=r"credentials: the shared credentials file \(profile lab\)"):
        store.folder.read("missing")
    monkeypatch.setenv("AWS_PROFILE", "other")
    again = store.opened_with(QUICK)
    with pytest.raises(StorageError, match=r"profile \(other\) could not be found"):
        again.read("missing")


def test_the_endpoint_may_come_from_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a.tar", DATA)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, store.server.endpoint)
        store.script.begin()
        assert open_folder(f"s3://{store.bucket}/set").size("a.tar") == len(DATA)
        assert store.script.requests[0].path == f"/{store.bucket}/set/a.tar"  # the bucket is in the path
        monkeypatch.delenv(name)


def test_threads_share_a_folder(store: Store) -> None:
    store.put("a.tar", DATA)
    store.script.begin(
        Fault(kind="cut", match="a.tar", after_bytes=1000, times=3),
        Fault(kind="status", status=503, match="a.tar", times=3),
    )
    folder = store.opened_with(replace(QUICK, num_tries=10))
    spans = [(start, 30_000) for start in range(0, 300_000, 10_000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda span: folder.read_range("a.tar", offset=span[0], num_bytes=span[1]), spans)
        )
    assert found == [DATA[start : start + length] for start, length in spans]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_another_process_reads_with_a_folder_that_was_used_here(store: Store, method: str) -> None:
    store.put("a.tar", DATA)
    assert read_span(store.folder) == DATA[SPAN]
    with multiprocessing.get_context(method).Pool(1) as pool:
        theirs = pool.apply_async(
            store.folder.read_range, ("a.tar",), {"offset": SPAN.start, "num_bytes": LENGTH}
        )
        assert read_span(store.folder) == DATA[SPAN]
        assert theirs.get(timeout=120) == DATA[SPAN]


def test_a_folder_is_sent_without_its_connections(store: Store) -> None:
    store.put("a.tar", DATA)
    store.folder.size("a.tar")
    copied = pickle.loads(pickle.dumps(store.folder))  # noqa: S301 - as worker processes are given it
    assert copied == store.folder
    assert b"botocore" not in pickle.dumps(store.folder)


@pytest.mark.parametrize("place", ["s3://", "s3:///prefix"])
def test_an_address_without_a_bucket_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="write s3://bucket/prefix"):
        open_folder(place)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="addresses of kind 'ftp' are not read here"):
        open_folder("ftp://somewhere/set")
