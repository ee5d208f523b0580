"""`train_model` under torchrun: two processes train, stop and skip as one does on the same batches."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mcld.config import RuntimeParams
from mcld.training.loop import train_model
from tests.training.rank_worker import whole_weights
from tests.training.real_processes import plan_of, run_torchrun, told
from tests.training.tiny_run import Recorder, TinyBatches, tiny_model, tiny_settings

# Float64, summed in another order.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-7, atol=1e-9)
NUM_STEPS = 4
BATCHES = {"batch_size": 4, "epoch_size": 10}
# A step's gradient is checked by its norm and by the weights that the next steps make of it. What is saved is
# the matter of other tests, and takes as long as several steps.
TRAIN: dict[str, Any] = {
    "batch_size": 4,
    "optimizer": "adamw",
    "steps": NUM_STEPS,
    "checkpoint_every_steps": 1000,
    "sample_every_steps": 3,
}
DAMAGED = [[0, 5]]  # of step 2, in the second process's rows
WAYS: dict[str, dict[str, Any]] = {
    "ddp": {},
    "ddp-pieces": {"runtime": {"accumulation_steps": 2, "gradient_checkpointing": True}},
    "ddp-muon-batch-dropout": {
        "train": {"optimizer": "muon", "dropout_unit": "batch", "null_probability": 0.5}
    },
    "fsdp-pieces": {"runtime": {"parallel": "fsdp", "accumulation_steps": 2, "gradient_checkpointing": True}},
    "ddp-damaged": {"damaged": DAMAGED},
    "fsdp-damaged": {"damaged": DAMAGED, "runtime": {"parallel": "fsdp"}},
    # Only the second process is asked to stop.
    "ddp-stopped": {"fault": [1, "stop", 1]},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what every way left."""
    folder = tmp_path_factory.mktemp("ways")
    cases = [
        {
            "directory": str(folder / name),
            "batches": BATCHES,
            "damaged": way.get("damaged", []),
            "fault": way.get("fault"),
            "runtime": way.get("runtime", {}),
            "train": {**TRAIN, **way.get("train", {})},
        }
        for name, way in WAYS.items()
    ]
    finished = run_torchrun(plan_of(folder, cases=cases))
    assert (folder / "ddp-stopped" / "rank-1.json").is_file(), finished.stderr
    return folder


@functools.cache
def _alone(folder: Path, *, way: str) -> tuple[list[float], list[float], dict[str, Tensor], list[Any]]:
    """Losses, gradient norms, weights and sample order of one process."""
    damaged = frozenset((epoch, index) for epoch, index in WAYS[way].get("damaged", []))
    settings = tiny_settings(folder / f"alone-{way}", **{**TRAIN, **WAYS[way].get("train", {})})
    model, recorder = tiny_model(dtype=torch.float64), Recorder()
    batches = TinyBatches(batch_size=4, epoch_size=10, damaged=damaged)
    progress = train_model(model, batches=batches, settings=settings, listener=recorder)
    weights = whole_weights(model, prefix="model.") | whole_weights(progress.average, prefix="average.")
    return progress.losses, [report.gradient_norm for report in recorder.reports], weights, batches.seen


@pytest.mark.long
@pytest.mark.parametrize("way", [way for way in WAYS if way != "ddp-stopped"])
def test_two_processes_equal_one(results: Path, way: str) -> None:
    losses, norms, weights, _ = _alone(results, way=way)
    found = told(results / way)
    assert found["message"] == ""
    assert_close(torch.tensor(found["losses"]), torch.tensor(losses), equal_nan=True)
    assert_close(torch.tensor(found["norms"]), torch.tensor(norms), equal_nan=True)
    assert found["rows"] == [4] * NUM_STEPS
    gathered = load_file(results / way / "weights.safetensors")
    assert gathered.keys() == weights.keys()
    for name, value in weights.items():
        assert_close(gathered[name], value, msg=f"{name} differs")


@pytest.mark.long
def test_processes_share_the_rows_of_one_order(results: Path) -> None:
    _, _, _, alone = _alone(results, way="ddp")
    ranks = [told(results / "ddp", rank=rank)["seen"] for rank in range(2)]
    for step, (first, second) in enumerate(zip(*ranks, strict=True)):
        together = [one for both in zip(first[1], second[1], strict=True) for one in both]
        assert [tuple(one) for one in together] == list(alone[step][1])


@pytest.mark.long
def test_a_share_of_the_weights_is_held_and_every_process_looks(results: Path) -> None:
    assert told(results / "ddp")["share"] == 1.0
    assert told(results / "fsdp-pieces")["share"] == pytest.approx(0.5, abs=0.1)
    assert "sample 3" in told(results / "fsdp-pieces", rank=1)["events"]
    assert told(results / "ddp", rank=1)["events"] == []


@pytest.mark.long
@pytest.mark.parametrize("way", ["ddp-damaged", "fsdp-damaged"])
def test_a_loss_that_is_no_number_on_one_process_is_skipped_on_both(results: Path, way: str) -> None:
    losses = told(results / way)["losses"]
    assert [math.isnan(loss) for loss in losses] == [False, True, False, False]


@pytest.mark.long
def test_a_stop_asked_of_one_process_stops_both_and_one_goes_on(results: Path) -> None:
    for rank in range(2):
        ended = told(results / "ddp-stopped", rank=rank)
        assert ended["code"] == 75
        assert ended["message"].startswith("training: stopped by SIGTERM after step 2 of 4")
    losses, _, _, seen = _alone(results, way="ddp")
    settings = tiny_settings(results / "ddp-stopped" / "checkpoints", **TRAIN)
    batches = TinyBatches(batch_size=4, epoch_size=10)
    progress = train_model(
        tiny_model(dtype=torch.float64), batches=batches, settings=settings, listener=Recorder()
    )
    assert batches.seen[:2] == seen[2:4]
    assert_close(torch.tensor(progress.losses), torch.tensor(losses))


def test_muon_does_not_go_with_shares(tmp_path: Path) -> None:
    from mcld.errors import ConfigError
    from mcld.training.distributed import Ranks

    settings = tiny_settings(tmp_path, runtime=RuntimeParams(parallel="fsdp"), optimizer="muon")
    ranks = Ranks(rank=0, num_ranks=2, device=torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"runtime\.parallel: fsdp.*muon.*ddp"):
        train_model(tiny_model(), batches=TinyBatches(), settings=settings, listener=Recorder(), ranks=ranks)
