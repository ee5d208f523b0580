"""One process of a tiny training, alone or under torchrun, for tests that need real processes.

    torchrun --nproc-per-node 2 -m tests.training.rank_worker PLAN.json

The plan is a list of cases. Each trains with `train_model` in its own folder and leaves, written by every
process, what it saw and how it ended, and by the first one the losses and the whole weights. The exit code is
75 when the last case was asked to stop and 2 when it ended with a sentence.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mcld.config import RuntimeParams
from mcld.errors import MCLDError, TrainingStoppedError
from mcld.models import MCLD
from mcld.training.distributed import Ranks, open_ranks
from mcld.training.loop import train_model
from mcld.training.reports import StepReport, TrainingProgress
from tests.training.test_interruption_by_samples import render
from tests.training.tiny_run import Recorder, TinyBatches, tiny_model, tiny_settings

EXIT_STOPPED, EXIT_ERROR = 75, 2
PAGE_BYTES = resource.getpagesize()


@dataclass(kw_only=True)
class Case:
    """What to do; fields as they stand in the plan."""

    directory: str
    dtype: str = "float64"
    runtime: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)
    damaged: list[list[int]] = field(default_factory=list)
    # (rank, what it does, after which step): "stop", "kill" and "stall" itself; "squeeze": leave no memory.
    fault: tuple[int, str, int] | None = None
    pause_s: float = 0.0  # after every step, so that a signal arrives in the middle
    announce: bool = False  # write a line for every step


@dataclass(kw_only=True)
class RankListener(Recorder):
    """Renders when it is asked to look, and does the case's fault."""

    case: Case
    ranks: Ranks

    def on_step(self, report: StepReport) -> None:
        super().on_step(report)
        if self.case.announce:
            sys.stdout.write(f"step {report.step}\n")
            sys.stdout.flush()
        time.sleep(self.case.pause_s)

    def on_sample(self, progress: TrainingProgress) -> None:
        super().on_sample(progress)
        render(progress.average, num_rows=2)


def fault_before(case: Case, *, ranks: Ranks, step: int) -> None:
    """Called while the batch of `step` is being made."""
    if case.fault is None or (ranks.rank, step) != (case.fault[0], case.fault[2]):
        return
    kind = case.fault[1]
    if kind == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
    elif kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "stall":
        time.sleep(3600)
    elif kind == "squeeze":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (held + (1 << 20), resource.RLIM_INFINITY))


def run_case(case: Case, *, ranks: Ranks) -> int:
    """Train; returns the exit code that the command line would."""
    directory = Path(case.directory)
    directory.mkdir(parents=True, exist_ok=True)
    runtime = runtime_of(case)
    settings = tiny_settings(directory / "checkpoints", runtime=runtime, reads_ahead=False, **case.train)
    source = TinyBatches(
        **case.batches,
        damaged=frozenset((epoch, index) for epoch, index in case.damaged),
        before_step=lambda step: fault_before(case, ranks=ranks, step=step),
    )
    model, listener = tiny_model(dtype=getattr(torch, case.dtype)), RankListener(case=case, ranks=ranks)
    code, message = 0, ""
    progress: TrainingProgress | None = None
    try:
        progress = train_model(model, batches=source, settings=settings, listener=listener, ranks=ranks)
    except MCLDError as error:
        code = EXIT_STOPPED if isinstance(error, TrainingStoppedError) else EXIT_ERROR
        message = str(error)
    told = {
        "code": code,
        "message": message,
        "seen": source.seen,
        "events": listener.events,
        "norms": [report.gradient_norm for report in listener.reports],
        "losses": [report.loss for report in listener.reports],
        "terms": [dict(report.terms) for report in listener.reports],
        "rows": [report.rows for report in listener.reports],
        "share": share_held(model),
    }
    (directory / f"rank-{ranks.rank}.json").write_text(json.dumps(told))
    if progress is not None:
        weights = whole_weights(model, prefix="model.") | whole_weights(progress.average, prefix="average.")
        if ranks.is_first:
            save_file(weights, directory / "weights.safetensors")
    return code


def runtime_of(case: Case) -> RuntimeParams:
    return RuntimeParams.model_validate({"device": "cpu", **case.runtime})


def whole_weights(module: nn.Module, *, prefix: str) -> dict[str, Tensor]:
    """Copies, gathered where this process has a share of them."""
    weights: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        whole: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
        weights[prefix + name] = whole.detach().clone().contiguous()
    return weights


def share_held(model: MCLD) -> float:
    """The fraction of the model's numbers that this process holds at rest."""
    held = sum(p.to_local().numel() if isinstance(p, DTensor) else p.numel() for p in model.parameters())
    return held / sum(p.numel() for p in model.parameters())


def main(plan: Path) -> int:
    """Run the cases one after another; returns the exit code of the last."""
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    cases = [Case(**values) for values in json.loads(plan.read_text())]
    code = 0
    # Once: PyTorch's store keeps addresses of a group that is gone, and a second group may meet there.
    with open_ranks(runtime_of(cases[0])) as ranks:
        for case in cases:
            code = run_case(case, ranks=ranks)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
