"""Files of the metrics' networks are found, held against their hashes, or said to lack."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcld.config import EvaluateParams
from mcld.errors import WeightsError
from mcld.evaluation.judge import check_networks
from mcld.evaluation.networks import (
    LPIPS_ALEX,
    LPIPS_SQUEEZE,
    NETWORK_FILES,
    SQUEEZENET,
    PublishedFile,
    find_networks,
    shipped_path,
)
from mcld.storage import sha256_of_bytes, sha256_of_file


def named(path: Path) -> EvaluateParams:
    return EvaluateParams(squeezenet_path=path.name)


def test_without_files_every_network_lacks_and_says_how_to_get_it(tmp_path: Path) -> None:
    networks, lacking = find_networks(EvaluateParams(), root=tmp_path)
    assert networks.files == ()
    assert set(lacking) == set(NETWORK_FILES)
    assert "alexnet-owt-7be5be79.pth from download.pytorch.org/models" in lacking["lpips_alex"]
    assert "name the file in evaluate.squeezenet_path" in lacking["lpips_squeeze"]


def test_a_file_that_is_named_and_not_there_lacks_with_the_place(tmp_path: Path) -> None:
    _, lacking = find_networks(EvaluateParams(squeezenet_path="bases/squeeze.pth"), root=tmp_path)
    place = tmp_path / "bases" / "squeeze.pth"
    assert f"{place} is not there (evaluate.squeezenet_path)" in lacking["lpips_squeeze"]


@pytest.mark.parametrize("file", [LPIPS_ALEX, LPIPS_SQUEEZE], ids=lambda file: file.name)
def test_the_heads_that_torchmetrics_ships_are_the_published_ones(file: PublishedFile) -> None:
    path = shipped_path(file)
    assert path is not None
    assert sha256_of_file(path) == file.sha256


def test_another_file_is_an_error_with_what_was_expected_and_found(tmp_path: Path) -> None:
    path = tmp_path / "squeeze_trunk.pth"
    path.write_bytes(b"another")
    found = sha256_of_file(path)
    with pytest.raises(WeightsError) as caught:
        find_networks(named(path), root=tmp_path)
    assert f"{path}: sha256 is {found}, expected one that begins with b8a52dc0" in str(caught.value)
    assert f"evaluate.expected_sha256: {{squeeze_trunk.pth: {found}}}" in str(caught.value)


def test_the_setting_may_name_another_hash_and_then_it_alone_counts(tmp_path: Path) -> None:
    path = tmp_path / "squeeze_trunk.pth"
    path.write_bytes(b"another")
    sha256 = sha256_of_file(path)
    params = named(path).model_copy(update={"expected_sha256": {path.name: sha256}})
    (found,) = find_networks(params, root=tmp_path)[0].files
    assert (found.name, found.paths[0]) == ("lpips_squeeze", path)
    assert found.sha256 == (sha256, LPIPS_SQUEEZE.sha256)
    path.write_bytes(b"anotheR")
    with pytest.raises(WeightsError, match=f"expected {sha256} by evaluate.expected_sha256"):
        find_networks(params, root=tmp_path)


def test_heads_of_ones_own_are_held_against_the_whole_published_hash(tmp_path: Path) -> None:
    shipped = shipped_path(LPIPS_ALEX)
    assert shipped is not None
    flipped = bytearray(shipped.read_bytes())
    flipped[3000] ^= 1
    (tmp_path / "heads.pth").write_bytes(flipped)
    shutil.copy(shipped, tmp_path / "trunk.pth")
    params = EvaluateParams(
        alexnet_path="trunk.pth",
        lpips_alex_path="heads.pth",
        expected_sha256={"trunk.pth": LPIPS_ALEX.sha256},
    )
    with pytest.raises(WeightsError, match=rf"heads\.pth: .*expected {LPIPS_ALEX.sha256}, as the published"):
        find_networks(params, root=tmp_path)


def test_a_hash_of_no_file_is_an_error(tmp_path: Path) -> None:
    params = EvaluateParams(expected_sha256={"alexnet.pth": "0" * 64})
    with pytest.raises(WeightsError, match=r"'alexnet\.pth' is none of .*alexnet-owt-7be5be79\.pth"):
        find_networks(params, root=tmp_path)


def test_every_setting_of_a_file_is_a_setting() -> None:
    settings = {file.setting for files in NETWORK_FILES.values() for file in files}
    assert settings == {name for name in EvaluateParams.model_fields if name.endswith("_path")}


@pytest.mark.parametrize("content", [b"cos\nsystem\n(S'touch executed'\ntR.", b"anything"])
def test_what_is_no_weights_is_refused_even_where_its_hash_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / SQUEEZENET.name).write_bytes(content)
    params = EvaluateParams(
        squeezenet_path=SQUEEZENET.name, expected_sha256={SQUEEZENET.name: sha256_of_bytes(content)}
    )
    networks, _ = find_networks(params, root=tmp_path)
    with pytest.raises(WeightsError, match=SQUEEZENET.name):
        check_networks(networks)
    assert not Path("executed").exists()
