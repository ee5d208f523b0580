"""What a report's model cost, in words: time by stage, and what its training took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mcld.evaluation.report import Cost, Facts, Table
from mcld.stages.stage_costs import StageCost
from mcld.stages.told_times import duration, moment
from mcld.stages.training_cost import Energy, TrainingCost

UNKNOWN = "unknown"
NOT_MEASURED = "unknown: the training's measurements are not on this machine"


def cost(stages: Iterable[str], *, costs: Mapping[str, StageCost], training: TrainingCost | None) -> Cost:
    """Tell what is known; a stage that was made elsewhere, or by an unfinished run, is said to be unknown."""
    known = dict(costs)
    if training and "train" in known and training.seconds > known["train"].seconds:
        # The ledger has the last process only: an earlier one was stopped, and its steps were kept.
        known["train"] = StageCost(
            seconds=training.seconds,
            num_items=known["train"].num_items,
            finished_ms=known["train"].finished_ms,
            is_whole=False,
        )
    names = tuple(stages)
    rows = [_row(name, cost=known.get(name)) for name in names]
    total_s = sum(found.seconds for found in known.values())
    is_whole = all(name in known and known[name].is_whole for name in names)
    rows.append(
        ("all", f"{'' if is_whole else 'at least '}{duration(total_s)}" if known else UNKNOWN, "", "")
    )
    return Cost(
        stages=Table(
            title="Time by stage",
            header=("stage", "time", "items (steps) a second", "done"),
            rows=tuple(rows),
        ),
        training=training_facts(training),
    )


def training_facts(found: TrainingCost | None) -> Facts:
    """What the steps took. Checkpoints and sample grids between them are not in it."""
    if found is None:
        return (("training", NOT_MEASURED), ("energy", UNKNOWN))
    unit = "GPU" if found.device == "cuda" else f"process on {found.device}"
    facts = [
        (
            "steps",
            f"{duration(found.seconds)} for {found.num_rows:,} pairs, {found.images_per_s:.2f} a second",
        ),
        ("on", f"{found.num_processes} {unit}{'s' if found.num_processes > 1 else ''}"),
        ("GPU hours", f"{found.gpu_hours:.2f}" if found.device == "cuda" else "none: no GPU was used"),
        ("energy", _energy(found.energy)),
    ]
    if found.data_wait_share is not None:
        facts.append(("waiting for data", f"{100 * found.data_wait_share:.2f} % of the time"))
    if found.tflops_per_s is not None:
        share = f", {100 * found.share_of_peak:.0f} % of the peak" if found.share_of_peak is not None else ""
        facts.append(("arithmetic", f"{found.tflops_per_s:.3g} TFLOP/s{share}"))
    if found.memory_gib:
        facts.append(("memory", f"{found.memory_gib:.2f} GiB at most, of the first process"))
    if found.num_skipped_steps:
        facts.append(("skipped", f"{found.num_skipped_steps} steps whose loss or gradient was not a number"))
    return tuple(facts)


def _row(name: str, *, cost: StageCost | None) -> tuple[str, str, str, str]:
    if cost is None:
        return name, UNKNOWN, "–", "–"
    if not cost.is_whole:
        return name, f"at least {duration(cost.seconds)}", "–", moment(cost.finished_ms)
    rate = f"{cost.num_items / cost.seconds:.3g}" if cost.seconds > 0 and cost.num_items else "–"
    return name, duration(cost.seconds), rate, moment(cost.finished_ms)


def _energy(energy: Energy | None) -> str:
    if energy is None:
        return "unknown: nothing told its power"
    gpus = f"{energy.num_gpus} GPU{'s' if energy.num_gpus > 1 else ''} of the first machine"
    watched = duration(energy.watched_s)
    return f"{energy.kwh:.3g} kWh, drawn by {gpus} in the {watched} that were watched; nothing else is known"
