"""A pack that is not what it should be is told before insightface is asked, with what to do about it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import onnx
import pytest

from mcld.conditions.face import FaceModels, load_recogniser, pack_models
from mcld.errors import WeightsError
from mcld.storage import sha256_of_file
from tests.face_pack import (
    DETECTOR_NAME,
    RECOGNISER_NAME,
    Graph,
    write_arcface,
    write_pack,
    write_scrfd,
    write_sface,
)


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """A models folder of one's own."""
    shutil.copytree(models_dir, tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def folder(root: Path) -> Path:
    return root / "models" / "antelopev2"


def find(root: Path, *, expected: dict[str, str] | None = None, det_size_px: int = 320) -> FaceModels:
    return pack_models(
        root, pack="antelopev2", expected_sha256=expected or {}, det_size_px=det_size_px, min_score=0.5
    )


def fails(root: Path, *, message: str, expected: dict[str, str] | None = None) -> None:
    before = sorted(root.rglob("*"))
    with pytest.raises(WeightsError, match=message):
        find(root, expected=expected)
    assert sorted(root.rglob("*")) == before  # nothing was fetched, nothing moved


def test_a_pack_is_two_files_with_their_hashes_and_the_embeddings_length(root: Path, folder: Path) -> None:
    models = find(root)
    assert models.detector_path == folder / DETECTOR_NAME
    assert models.recogniser_sha256 == sha256_of_file(folder / RECOGNISER_NAME)
    assert models.dim == 512


def test_a_missing_pack_is_told_with_files_and_origin(tmp_path: Path) -> None:
    place = re.escape(str(tmp_path / "models" / "antelopev2"))
    fails(
        tmp_path,
        message=rf"{place}: no \*\.onnx; put the files of antelopev2\.zip there \(of antelopev2, "
        r"scrfd_10g_bnkps\.onnx and glintr100\.onnx are enough\), from release model-zoo .*non-commercial.*"
        r"face\.models_dir; nothing is downloaded",
    )


def test_a_folder_of_the_packs_name_where_one_works_is_not_taken(models_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(models_dir / "models" / "antelopev2", tmp_path / "antelopev2")
    with chdir(tmp_path):
        fails(tmp_path / "elsewhere", message=r"elsewhere/models/antelopev2: no \*\.onnx; put the files")


@pytest.mark.parametrize(
    "place", ["models/antelopev2.zip", "models/antelopev2/antelopev2.zip", "antelopev2.zip"]
)
def test_a_pack_still_zipped_is_to_be_unpacked(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"PK")
    fails(tmp_path, message=rf"there is .*{place}: unpack it, `unzip .*{place} -d .*models/antelopev2`")


def test_a_pack_nested_one_folder_too_deep_says_what_to_move(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "antelopev2"
    inner = write_pack(folder / "antelopev2")
    fails(tmp_path, message=rf"one folder too deep, .*`mv {inner}/\* {folder}/`")
    for path in inner.iterdir():
        path.rename(folder / path.name)
    assert find(tmp_path).dim == 512


@pytest.mark.parametrize("place", ["antelopev2", "."])
def test_a_pack_on_another_level_is_pointed_at(tmp_path: Path, place: str) -> None:
    write_pack(tmp_path / place)
    fails(tmp_path, message=r"but there are some in .*: `mkdir -p .*models/antelopev2`, and move them there")


def test_a_manifest_is_not_followed(root: Path, folder: Path) -> None:
    manifest = {
        "manifest_version": 2,
        "model_id": "antelopev2",
        "license": "MODEL.LICENSE",
        "tasks": {"detection": {"file": DETECTOR_NAME}, "recognition": {"file": RECOGNISER_NAME}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    fails(root, message=r"manifest\.json: packs with a manifest are not read")


def test_a_flipped_byte_is_told_where_the_hash_is_known(root: Path, folder: Path) -> None:
    path = folder / RECOGNISER_NAME
    expected = {path.name: sha256_of_file(path)}
    assert find(root, expected=expected).recogniser_sha256 == expected[path.name]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # within the projection: another network, as good as any by its shapes
    path.write_bytes(bytes(data))
    assert find(root).recogniser_sha256 == sha256_of_file(path) != expected[path.name]
    fails(
        root,
        expected=expected,
        message=rf"{path}: sha256 is [0-9a-f]{{64}}, expected {expected[path.name]} by face\.expected_sha256",
    )


def test_a_hash_of_no_file_is_told_with_the_files_there_are(root: Path) -> None:
    fails(
        root,
        expected={"glintr50.onnx": "0" * 64},
        message=r"'glintr50\.onnx' is no file of the recogniser; those are glintr100\.onnx, scrfd_10g",
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def other_bytes(path: Path) -> None:
    path.write_bytes(b"<html>404 Not Found</html>")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 260665334\n")


def weights_elsewhere(path: Path) -> None:
    model = onnx.load_model(str(path))
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "not a whole ONNX file; copy the pack again"),
        (other_bytes, "not a whole ONNX file"),
        (nothing, "holds no ONNX network"),
        (lfs_pointer, "is Git LFS's note of a file, not the file; run `git lfs pull`"),
        (weights_elsewhere, "keeps its weights in other files"),
    ],
)
def test_a_damaged_file_is_named(
    root: Path, folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = folder / RECOGNISER_NAME
    spoil(path)
    fails(root, message=f"{path}: {message}")


def test_a_file_cut_anywhere_is_told(root: Path, folder: Path) -> None:
    whole = (folder / RECOGNISER_NAME).read_bytes()
    for num_bytes in range(0, len(whole), 1024):
        (folder / RECOGNISER_NAME).write_bytes(whole[:num_bytes])
        fails(root, message=f"{RECOGNISER_NAME}: (not a whole ONNX file|holds no ONNX network)")


def test_a_flipped_bit_of_unknown_hash_ends_in_a_network_or_a_sentence(root: Path, folder: Path) -> None:
    whole = (folder / DETECTOR_NAME).read_bytes()
    outcomes = set()
    for position in range(0, len(whole), len(whole) // 80):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        (folder / DETECTOR_NAME).write_bytes(bytes(flipped))
        try:
            outcomes.add(load_recogniser(find(root, det_size_px=64)).dim)
        except WeightsError as error:
            outcomes.add(str(root) in str(error))
    assert outcomes == {512, True}


def test_a_pack_without_a_network_it_needs_lists_what_it_has(root: Path, folder: Path) -> None:
    (folder / DETECTOR_NAME).unlink()
    fails(
        root,
        message=r"antelopev2: no detector among glintr100\.onnx takes \?x3x112x112, gives \?x512; copy",
    )
    write_scrfd(folder / DETECTOR_NAME)
    (folder / RECOGNISER_NAME).unlink()
    fails(
        root, message=r"antelopev2: no recogniser among scrfd_10g_bnkps\.onnx takes 1x3x\?x\?, gives \?x1, "
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: write_scrfd(folder / DETECTOR_NAME, with_points=False),
            "gives 9 outputs, scores of 1",
        ),
        (
            lambda folder: write_scrfd(folder / DETECTOR_NAME, size_px=640),
            "takes 1x3x640x640, .* but face.det_size_px is 320; set it to the size",
        ),
        (
            lambda folder: write_arcface(folder / RECOGNISER_NAME, size_px=128),
            r"takes \?x3x128x128, gives \?x512; expected a recogniser that takes \?x3x112x112",
        ),
        (
            lambda folder: write_arcface(folder / RECOGNISER_NAME, batch=4),
            "takes 4x3x112x112, .*expected a recogniser",
        ),
    ],
)
def test_a_network_of_another_architecture_is_told_with_both(
    root: Path, folder: Path, change: Callable[[Path], None], message: str
) -> None:
    change(folder)
    fails(root, message=message)


def test_a_network_that_belongs_to_no_pack_is_to_be_taken_out(root: Path, folder: Path) -> None:
    graph = Graph()
    graph.add("Relu", ["input"], to="output")
    graph.save(folder / "a.onnx", input_shape=("rows", 7), outputs={"output": ("rows", 7)})
    fails(root, message=r"a\.onnx: takes \?x7, gives \?x7; that is no network of a face pack: take it out")


def test_networks_of_a_pack_that_are_not_needed_are_passed_over(root: Path, folder: Path) -> None:
    graph = Graph()
    graph.add("Relu", ["input"], to="output")
    shape = (1, 3, 192, 192)
    graph.save(folder / "1k3d68.onnx", input_shape=shape, outputs={"output": shape})
    assert find(root) == find(root)
    assert load_recogniser(find(root)).dim == 512


def test_a_network_that_gives_other_shapes_than_it_states_fails_its_trial(root: Path, folder: Path) -> None:
    write_sface(folder / RECOGNISER_NAME, dim=512)
    model = onnx.load_model(str(folder / RECOGNISER_NAME))
    model.graph.node.append(onnx.helper.make_node("Concat", ["fc1", "fc1"], ["twice"], axis=0))
    model.graph.output[0].name = "twice"
    onnx.save_model(model, str(folder / RECOGNISER_NAME))
    with pytest.raises(
        WeightsError, match=rf"{RECOGNISER_NAME}: two faces give \(4, 512\), expected \(2, 512\)"
    ):
        load_recogniser(find(root))
