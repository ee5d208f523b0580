"""Both published files of Inception load, and give torchvision's and pytorch-fid's features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mcld.errors import WeightsError
from mcld.evaluation.trunks.inception import Inception, Layout, load_inception, published_state
from mcld.evaluation.trunks.inception_blocks import (
    average_with_padding,
    average_without_padding,
    maximum,
)
from mcld.evaluation.trunks.inputs import prepare_a, prepare_clean_fid, prepare_fid
from mcld.storage import sha256_of_file
from mcld.tensors.files import write_tensors
from tests.evaluation.trunks.published_files import recipe_images, recipe_weights, write_published

# The first four features of two images, and the mean over all 2048: computed once, with the recipe's weights,
# by torchvision 0.29.1 (fid_a), pytorch-fid 0.3.0 (fid), and clean-fid 0.1.35's resize before the latter.
EXPECTED = {
    "fid_a": (
        [[0.2167084, 0.4521285, 0.1072519, 0.0100765], [0.2247503, 0.7149625, 0.1939838, 0.0247443]],
        [0.9655263, 1.0566890],
    ),
    "fid": (
        [[0.3946263, 0.6188735, 0.3515423, 0.0312114], [0.4355868, 0.6947961, 0.2546824, 0.0453012]],
        [1.7393849, 1.7727388],
    ),
    "clean_fid": (
        [[0.3989519, 0.6456916, 0.3524389, 0.0310545], [0.4409814, 0.6824268, 0.2520692, 0.0469217]],
        [1.7635584, 1.8013757],
    ),
}


@pytest.fixture(scope="module")
def torchvision_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchvision") / "inception.pth"
    return write_published(path, state=recipe_weights(published_state("torchvision")))


@pytest.fixture(scope="module")
def tf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tf") / "inception.pth"
    return write_published(path, state=recipe_weights(published_state("tf")))


@pytest.fixture(scope="module")
def tf_network(tf_file: Path) -> Inception:
    return load_inception(tf_file, layout="tf", expected_sha256=sha256_of_file(tf_file))


def assert_features(features_BD: Tensor, *, of: str) -> None:
    first, mean = EXPECTED[of]
    assert features_BD.shape == (2, 2048)
    assert features_BD.dtype == torch.float32
    assert features_BD[:, :4].numpy() == pytest.approx(torch.tensor(first).numpy(), rel=1e-4)
    assert features_BD.mean(dim=1).numpy() == pytest.approx(torch.tensor(mean).numpy(), rel=1e-5)


def test_the_torchvision_layout_gives_torchvisions_features(torchvision_file: Path) -> None:
    network = load_inception(torchvision_file, layout="torchvision")
    assert_features(network(prepare_a(recipe_images(2, height_px=64, width_px=48))), of="fid_a")


def test_the_tf_layout_gives_pytorch_fids_features(tf_network: Inception) -> None:
    assert_features(tf_network(prepare_fid(recipe_images(2, height_px=64, width_px=48))), of="fid")


def test_the_tf_layout_gives_clean_fids_features(tf_network: Inception) -> None:
    assert_features(
        tf_network(prepare_clean_fid(recipe_images(2, height_px=64, width_px=48))), of="clean_fid"
    )


def test_layouts_with_the_same_weights_differ_by_their_pooling_alone(tf_network: Inception) -> None:
    image = prepare_fid(recipe_images(1, height_px=64, width_px=48))
    assert not torch.allclose(_in_layout("torchvision", of=tf_network)(image), tf_network(image), rtol=0.01)
    blind = _in_layout("tf", of=tf_network, without_pooling=True)
    assert torch.equal(_in_layout("torchvision", of=blind)(image), blind(image))


def _in_layout(layout: Layout, *, of: Inception, without_pooling: bool = False) -> Inception:
    """The same weights in another network; or those of the branches that pool zero."""
    state = {
        name: torch.zeros_like(value)
        if without_pooling and "branch_pool.bn" in name and not name.endswith("running_var")
        else value
        for name, value in of.state_dict().items()
    }
    with torch.device("meta"):
        network = Inception(layout)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def test_the_three_ways_to_pool() -> None:
    """Ones with a 2 in the middle: a corner sees four pixels, and five zeros beyond the border or none."""
    features = torch.ones(1, 1, 3, 3)
    features[0, 0, 1, 1] = 2.0
    found = [pool(features)[0, 0, 0, 0].item() for pool in (average_with_padding, average_without_padding)]
    assert found == pytest.approx([5 / 9, 5 / 4])
    assert average_with_padding(features)[0, 0, 1, 1] == average_without_padding(features)[0, 0, 1, 1]
    assert maximum(-features)[0, 0, 0, 0] == -1.0  # padding is no zero here
    assert maximum(features)[0, 0].tolist() == [[2.0] * 3] * 3


def test_the_network_is_ready_for_inference(tf_network: Inception) -> None:
    assert not tf_network.training
    assert not any(parameter.requires_grad for parameter in tf_network.parameters())


@pytest.mark.parametrize(("layout", "num_parameters"), [("torchvision", 27_161_264), ("tf", 23_850_960)])
def test_the_names_hold_as_many_parameters_as_are_published(layout: Layout, num_parameters: int) -> None:
    state = published_state(layout)
    found = sum(v.numel() for n, v in state.items() if "running" not in n and v.is_floating_point())
    assert found == num_parameters


def test_one_layout_is_refused_under_the_other(tf_file: Path, torchvision_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"inception\.pth: .*'AuxLogits.*is missing.*torchvision's Incep"):
        load_inception(tf_file, layout="torchvision")
    with pytest.raises(WeightsError, match=r"inception\.pth: .*'AuxLogits.*is unexpected.*mseitzer"):
        load_inception(torchvision_file, layout="tf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop", "'Mixed_6c.branch_pool.bn.running_var' is missing"),
        ("add", "'Mixed_8a.conv.weight' is unexpected"),
        ("reshape", r"'fc.bias' has shape \(3,\), expected \(1008,\)"),
    ],
)
def test_names_and_shapes_are_exact(change: str, message: str, tmp_path: Path) -> None:
    # Zeros in half precision: only names and shapes matter, and the file is small.
    state = {n: torch.zeros(v.shape, dtype=torch.half) for n, v in published_state("tf").items()}
    if change == "drop":
        del state["Mixed_6c.branch_pool.bn.running_var"]
    elif change == "add":
        state["Mixed_8a.conv.weight"] = torch.zeros(1)
    else:
        state["fc.bias"] = torch.zeros(3)
    write_tensors(tmp_path / "weights.safetensors", state=state)
    with pytest.raises(WeightsError, match=rf"weights\.safetensors: .*{message}"):
        load_inception(tmp_path / "weights.safetensors", layout="tf")


def test_files_without_counters_of_steps_load(tmp_path: Path) -> None:
    state = {
        n: torch.zeros(v.shape, dtype=torch.half)
        for n, v in published_state("tf").items()
        if not n.endswith("num_batches_tracked")
    }
    write_tensors(tmp_path / "weights.safetensors", state=state)
    network = load_inception(tmp_path / "weights.safetensors", layout="tf")
    assert network.Mixed_7c.branch1x1.conv.weight.dtype == torch.float32


def test_a_damaged_number_is_named(tmp_path: Path) -> None:
    state = {n: torch.zeros(v.shape, dtype=torch.half) for n, v in published_state("tf").items()}
    state["Mixed_5b.branch1x1.bn.bias"][3] = float("nan")
    write_tensors(tmp_path / "weights.safetensors", state=state)
    with pytest.raises(WeightsError, match=r"'Mixed_5b\.branch1x1\.bn\.bias' holds NaN"):
        load_inception(tmp_path / "weights.safetensors", layout="tf")


def test_another_sha256_is_refused_before_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "no-weights.pth"
    path.write_bytes(b"anything")
    with pytest.raises(WeightsError, match=r"no-weights\.pth: sha256 is [0-9a-f]{64}, expected 0000"):
        load_inception(path, layout="tf", expected_sha256="0" * 64)


def test_a_name_with_another_hash_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    path.write_bytes(b"anything")
    with pytest.raises(WeightsError, match="no PyTorch file of weights"):
        load_inception(path, layout="tf")
    assert "does not begin with 6726825d" in caplog.text


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth: not found; put there .*mseitzer/pytorch-fid"):
        load_inception(tmp_path / "nowhere.pth", layout="tf")
