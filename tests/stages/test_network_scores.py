"""The networks' metrics on pictures whose answers are known: copies, faces put elsewhere, nobody."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mcld.config import EvaluateParams, FaceParams, GenerateParams, Params, RuntimeParams
from mcld.data.codec import encode_png
from mcld.evaluation.frechet import FeatureStatistics, frechet_distance
from mcld.evaluation.judge import Judge
from mcld.evaluation.kernel_distance import kernel_distance
from mcld.evaluation.metrics import METRICS, network_metrics
from mcld.evaluation.networks import Networks
from mcld.evaluation.set_scores import kid_note
from mcld.stages.evaluation_networks import evaluation_networks
from mcld.stages.mapper import SerialMapper
from mcld.stages.network_scores import NetworkScores, NetworkScoring
from mcld.stages.set_images import JudgedPair
from mcld.storage import sha256_of_bytes, write_bytes
from mcld.types import ImageRecord
from mcld.workspace import REAL_IMAGES, Workspace
from tests.face_pack import paint_face, write_pack

SIZE_PX = 96
NUM_PAIRS = 3
PARAMS = Params(
    face=FaceParams(recogniser="insightface", models_dir="bases", det_size_px=SIZE_PX),
    generate=GenerateParams(height_px=SIZE_PX, width_px=SIZE_PX),
    runtime=RuntimeParams(num_workers=1),
)


def picture(seed: int, *, face: int | None) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a noisy background of its own, and the face of that seed."""
    rng = np.random.default_rng(seed)
    bgr = rng.integers(0, 60, (SIZE_PX, SIZE_PX, 3), np.uint8)
    bgr += rng.integers(0, 60, 3).astype(np.uint8)
    if face is not None:
        paint_face(bgr, column=6, row=5, stride=8, seed=face)
    return np.ascontiguousarray(bgr[..., ::-1])


def blurred(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5))


def record(root: Path, *, key: str, image: np.ndarray, split: str = "test") -> ImageRecord:
    data = encode_png(image)
    write_bytes(root / f"{key}.png", data=data)
    return ImageRecord(
        key=key,
        outfit_key=key,
        view="1_front",
        gender="WOMEN",
        category="Dresses",
        split=split,
        path=f"{key}.png",
        sha256=sha256_of_bytes(data),
        num_bytes=len(data),
        height_px=SIZE_PX,
        width_px=SIZE_PX,
        part=0,
    )


@dataclass(frozen=True)
class Prepared:
    """Pictures in a folder, and the networks beside it."""

    root: Path
    networks: Networks
    scoring: NetworkScoring

    def scored(self, state_dir: Path, **changes: object) -> NetworkScores:
        return replace(self.scoring, state_dir=state_dir, **changes).run()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def prepared(metric_files: EvaluateParams, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Rows: copies of the targets, blurred targets without faces.

    Training images are the targets.
    """
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("judged")
    section = metric_files.model_copy(update={"batch_size": 3})
    params = PARAMS.model_copy(update={"evaluate": section})
    write_pack(root / "bases" / "models" / "antelopev2")
    networks, lacking = evaluation_networks(params, workspace=Workspace(root=root))
    assert not lacking
    sources = [picture(10 + index, face=10 + index) for index in range(NUM_PAIRS)]
    targets = [picture(20 + index, face=20 + index) for index in range(NUM_PAIRS)]
    pairs = [
        JudgedPair(
            source=record(root, key=f"source{index}", image=sources[index]),
            target=record(root, key=f"target{index}", image=targets[index]),
        )
        for index in range(NUM_PAIRS)
    ]
    rows = {
        "generated": [blurred(picture(20 + index, face=None)) for index in range(NUM_PAIRS)],
        "copies": targets,
    }
    files = {}
    for row, images in rows.items():
        files[row] = [root / row / f"{index}.png" for index in range(NUM_PAIRS)]
        for path, image in zip(files[row], images, strict=True):
            write_bytes(path, data=encode_png(image))
    scoring = NetworkScoring(
        pairs=pairs,
        files=files,
        metrics=network_metrics(height_px=SIZE_PX, width_px=SIZE_PX, lacking={}),
        networks=networks,
        params=params,
        image_dir=root,
        images=[replace(pair.target, split="train") for pair in pairs],
        state_dir=root / "state",
        name="rows",
        mapper=SerialMapper(),
    )
    return Prepared(root=root, networks=networks, scoring=scoring)


@pytest.fixture(scope="module")
def scores(prepared: Prepared) -> NetworkScores:
    return prepared.scored(prepared.root / "state")


def test_every_metric_of_a_network_is_there_for_every_row(scores: NetworkScores) -> None:
    wanted = {metric.name for metric in METRICS if metric.network}
    for row in ("generated", "copies", "ground_truth"):
        assert set(scores.per_pair[row]) | set(scores.sets[row]) == wanted
        assert all(len(values) == NUM_PAIRS for values in scores.per_pair[row].values())


def test_targets_and_their_copies_are_at_no_distance_from_themselves(scores: NetworkScores) -> None:
    for row in ("copies", "ground_truth"):
        assert scores.per_pair[row]["lpips_alex"] == [0.0] * NUM_PAIRS
        assert scores.per_pair[row]["lpips_squeeze"] == [0.0] * NUM_PAIRS
        assert scores.per_pair[row]["face_cosine_target"] == pytest.approx([1.0] * NUM_PAIRS)
        for name in ("fid_a", "fid", "clean_fid"):  # fid_a: the training images are the targets here
            assert scores.sets[row][name].value == pytest.approx(0.0, abs=1e-3)


def test_other_images_are_at_a_distance(scores: NetworkScores) -> None:
    for name in ("lpips_alex", "lpips_squeeze"):
        assert all(value is not None and value > 0.01 for value in scores.per_pair["generated"][name])
    for name in ("fid_a", "fid", "clean_fid"):
        assert scores.sets["generated"][name].value > 0.01


def test_pairs_without_a_face_are_counted_and_the_recogniser_is_named(scores: NetworkScores) -> None:
    assert scores.per_pair["generated"]["face_cosine_target"] == [None] * NUM_PAIRS
    assert scores.skipped["face_cosine_target"] == {"no face found in the picture": NUM_PAIRS}
    (note,) = [note for note in scores.notes if note.startswith("face_cosine")]
    assert "insightface, pack antelopev2: detector scrfd_10g_bnkps.onnx (" in note


def test_how_kid_was_taken_is_said(scores: NetworkScores) -> None:
    assert any(note.startswith(f"kid: one estimate from all {NUM_PAIRS} images") for note in scores.notes)
    assert kid_note(8570).startswith("kid: the mean over 100 random subsets of 1,000 images")


def test_few_images_are_said_to_be_few(scores: NetworkScores) -> None:
    assert any(note.startswith(f"FIDs of {NUM_PAIRS} images") for note in scores.notes)


def test_sets_are_the_distances_of_the_networks_features(prepared: Prepared, scores: NetworkScores) -> None:
    judge = Judge(replace(prepared.networks, faces=None), device=torch.device("cpu"))
    rows = {name: np.stack([picture(20 + index, face=None) for index in range(NUM_PAIRS)]) for name in ("g",)}
    images = np.stack([blurred(image) for image in rows["g"]])
    targets = np.stack([picture(20 + index, face=20 + index) for index in range(NUM_PAIRS)])
    for kind in ("fid_a", "fid", "clean_fid"):
        found, real = judge.features(images, kind=kind), judge.features(targets, kind=kind)
        distance = frechet_distance(FeatureStatistics.of(found), FeatureStatistics.of(real))
        assert scores.sets["generated"][kind].value == pytest.approx(distance, rel=1e-3)
        if kind == "fid":
            kid = scores.sets["generated"]["kid"]
            assert kid.value == pytest.approx(kernel_distance(found, real).mean, rel=1e-3)
            assert (kid.num_images, kid.num_real, kid.std) == (NUM_PAIRS, NUM_PAIRS, 0.0)


def test_a_repeat_computes_nothing_and_says_the_same(prepared: Prepared, scores: NetworkScores) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (prepared.root / "state").rglob("*.npz")}
    assert prepared.scored(prepared.root / "state") == scores
    assert {path: path.stat().st_mtime_ns for path in (prepared.root / "state").rglob("*.npz")} == kept


def test_the_training_images_are_kept_as_one_file_and_made_again_when_it_is_damaged(
    prepared: Prepared, scores: NetworkScores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (kept,) = (prepared.root / "state" / REAL_IMAGES).glob("train-*")
    path = tmp_path / REAL_IMAGES / kept.name
    write_bytes(path, data=kept.read_bytes()[:-100])
    only_fid_a = [metric for metric in METRICS if metric.name == "fid_a"]
    again = prepared.scored(tmp_path, metrics=only_fid_a, files={"copies": prepared.scoring.files["copies"]})
    assert "damaged" in caplog.text
    assert path.read_bytes() == kept.read_bytes()
    assert again.sets["copies"]["fid_a"] == scores.sets["copies"]["fid_a"]


def test_a_folder_of_the_same_pairs_looks_at_no_real_image_again(
    prepared: Prepared, scores: NetworkScores, tmp_path: Path
) -> None:
    shutil.copytree(prepared.root / "state" / REAL_IMAGES, tmp_path / REAL_IMAGES)
    kept = stamps(tmp_path / REAL_IMAGES)
    files = {"scored": prepared.scoring.files["generated"]}
    again = prepared.scored(tmp_path, files=files, name="folders/theirs", resizes=True)
    assert stamps(tmp_path / REAL_IMAGES) == kept
    assert again.sets["scored"]["fid_a"].value == pytest.approx(
        scores.sets["generated"]["fid_a"].value, rel=1e-4
    )


def test_a_target_of_several_pairs_is_looked_at_once_and_counts_as_often(
    prepared: Prepared, tmp_path: Path
) -> None:
    pair = prepared.scoring.pairs[0]
    found = prepared.scored(
        tmp_path,
        pairs=[pair, pair, prepared.scoring.pairs[1]],
        files={"copies": [prepared.scoring.files["copies"][index] for index in (0, 0, 1)]},
        metrics=[metric for metric in METRICS if metric.name == "fid"],
    )
    (part,) = (tmp_path / REAL_IMAGES).rglob("*.npz")
    with np.load(part) as arrays:
        assert arrays["fid"].shape == (2, 2048)
    assert found.sets["copies"]["fid"].num_real == 3
    assert found.sets["copies"]["fid"].value == pytest.approx(0.0, abs=1e-3)


def stamps(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*.npz")}


def test_a_training_image_that_does_not_decode_is_left_out_and_said(
    prepared: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = [*prepared.scoring.images]
    write_bytes(prepared.root / "damaged.png", data=b"no picture")
    damaged = replace(images[0], path="damaged.png", sha256=sha256_of_bytes(b"no picture"), num_bytes=10)
    found = prepared.scored(
        tmp_path,
        metrics=[metric for metric in METRICS if metric.name == "fid_a"],
        files={"copies": prepared.scoring.files["copies"]},
        images=[*images, damaged],
    )
    assert found.sets["copies"]["fid_a"].num_real == NUM_PAIRS
    assert "1 training images cannot be decoded" in caplog.text


def test_another_batch_size_gives_the_same_numbers(
    prepared: Prepared, scores: NetworkScores, tmp_path: Path
) -> None:
    section = EvaluateParams(batch_size=2)
    again = prepared.scored(
        tmp_path,
        params=PARAMS.model_copy(update={"evaluate": section}),
        metrics=[metric for metric in METRICS if metric.network == "lpips_squeeze"],
    )
    for row, by_metric in again.per_pair.items():
        assert by_metric["lpips_squeeze"] == pytest.approx(scores.per_pair[row]["lpips_squeeze"], rel=1e-4)
