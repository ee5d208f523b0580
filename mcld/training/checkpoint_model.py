"""The model that a checkpoint holds: to look at a run before it ends, or at how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.errors import CheckpointError
from mcld.models import MCLD, ModelConfig
from mcld.training.checkpoint_files import (
    check_files,
    check_tensors,
    read_record,
    read_tensors,
    stored_tensors,
)
from mcld.training.checkpoint_folders import run_dir, saved_steps, step_dir
from mcld.training.checkpoint_peers import Peers

# Of a training's state: what samples are made with, where the run keeps an average of its weights and not.
AVERAGE_PREFIX = "module.average.average."
MODEL_PREFIX = "module.model."


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointModel:
    """Averaged weights on the CPU, in float32 (trained ones where no average was kept), and what is known.

    `facts` are those of the record: `params` of the run, its `identity`, the `model`'s settings.
    """

    model: MCLD
    step: int
    facts: Mapping[str, object]


def load_checkpoint_model(directory: Path, *, fingerprint: str, step: int) -> CheckpointModel:
    """The model of a run's checkpoint after `step` steps, its bytes checked.

    Raises CheckpointError when there is none, naming those that there are, or when it is damaged.
    """
    run = run_dir(directory, fingerprint=fingerprint)
    steps = saved_steps(run)
    if step not in steps:
        listed = ", ".join(str(saved) for saved in steps) or "none"
        raise CheckpointError(
            f"{run}: no checkpoint of step {step}; there are: {listed}. runtime.keep_last_checkpoints and "
            "runtime.keep_every_steps say which are kept"
        )
    path = step_dir(run, step=step)
    record = read_record(path, fingerprint=fingerprint)
    check_files(path, record=record, peers=Peers())
    facts = record["facts"]
    assert isinstance(facts, dict)
    return CheckpointModel(model=_model_in(path, settings=facts["model"]), step=step, facts=facts)


def _model_in(path: Path, *, settings: Mapping[str, object]) -> MCLD:
    model = MCLD(ModelConfig.from_dict(dict(settings)))
    stored = stored_tensors(path)
    has_average = any(name.startswith(AVERAGE_PREFIX) for name in stored)
    prefix = AVERAGE_PREFIX if has_average else MODEL_PREFIX
    wanted = {prefix + name: value for name, value in model.state_dict().items()}
    kept = {name: like for name, like in stored.items() if name.startswith(prefix)}
    check_tensors(wanted, stored=kept, place=path)
    read_tensors(path, wanted=wanted)
    return model
