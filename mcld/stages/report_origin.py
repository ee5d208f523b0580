"""Where a report's model comes from: code, data, settings, and the run that remembers it.

Nothing is asked of a clock, of a host or of a server: the facts are those that git, DVC and the run's journal
hold. What they do not hold is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcld.config import Params
from mcld.data.manifest import MANIFEST_NAME
from mcld.evaluation.report import Facts
from mcld.stages.run_tags import FULL, OTHER, ablation_of, profile_of
from mcld.stages.told_times import moment
from mcld.stages.training_cost import METRICS
from mcld.storage import fingerprint
from mcld.tracking import CodeState, RunHistory, code_state, folder_digest, read_history
from mcld.types import Manifest
from mcld.workspace import Workspace

SHORT = 12  # characters of a hash that a person compares
MAX_CHANGED = 5  # files that are named
NOT_HERE = "unknown: the model was not trained in this workspace, or its .mcld folder is gone"


def history_of_model(manifest: Manifest, *, workspace: Workspace) -> RunHistory | None:
    """What the training that ended in the train stage's manifest has told; None where nothing is here."""
    if not manifest.parts:
        return None
    directory = workspace.state_dir / "journal" / manifest.parts[0].fingerprint
    return read_history(directory, metrics=METRICS)


def data_versions(manifests: Mapping[str, Manifest], *, workspace: Workspace) -> dict[str, str]:
    """By stage: DVC's md5 of its folder where dvc.lock speaks of it, else its manifest's sha256."""
    return {
        stage: folder_digest(
            workspace.stage_dir(stage), stage=stage, root=workspace.root, index_name=MANIFEST_NAME
        )
        for stage in manifests
    }


def origin_facts(
    params: Params, *, workspace: Workspace, history: RunHistory | None, versions: Mapping[str, str]
) -> Facts:
    """The facts, in the order in which one asks for them."""
    profile = profile_of(params, root=workspace.root) or "none to compare with"
    shown = params.model_dump(mode="json", exclude={"runtime"})
    code = code_state(workspace.root)
    facts = [
        ("code", _code(code)),
        ("trained", _trained(history)),
        ("trained with", _trained_with(history, code=code)),
        ("settings", f"recipe {params.recipe}, profile {profile}, fingerprint {fingerprint(shown)[:SHORT]}"),
        ("model", f"{_variant(ablation_of(params.model))}, seed {params.train.seed}"),
        ("data", f"{params.dataset.source}; all stages' data {fingerprint(dict(versions))[:SHORT]}"),
        ("dvc.lock", _lock(history)),
        ("MLflow", _mlflow(history)),
    ]
    if history and "prefect.flow_run_id" in history.tags:
        facts.append(("Prefect", f"flow run {history.tags['prefect.flow_run_id']}"))
    return tuple(facts)


def _variant(ablation: str) -> str:
    if ablation == OTHER:
        return "a variant that the paper has not"
    return "the paper's full model" if ablation == FULL else f"the paper's variant {ablation}"


def _code(code: CodeState | None) -> str:
    if code is None:
        return "unknown: no git here"
    if not code.changed:
        return f"commit {code.commit[:SHORT]}, as committed"
    named = ", ".join(code.changed[:MAX_CHANGED])
    more = len(code.changed) - MAX_CHANGED
    return f"commit {code.commit[:SHORT]}, changed: {named}" + (f" and {more} more" if more > 0 else "")


def _trained(history: RunHistory | None) -> str:
    if history is None or history.started_ms is None:
        return NOT_HERE
    end = "not said to be over" if history.finished_ms is None else f"until {moment(history.finished_ms)}"
    return f"from {moment(history.started_ms)}, {end}"


def _trained_with(history: RunHistory | None, *, code: CodeState | None) -> str:
    if history is None or "git.commit" not in history.tags:
        return "unknown: no commit was recorded"
    tags = history.tags
    commit = tags["git.commit"]
    same = "the same commit" if code and code.commit == commit else f"commit {commit[:SHORT]}"
    dirty = " and changes to it" if tags.get("git.dirty") == "true" else ""
    names = {"version.mcld": "mcld", "version.python": "Python", "version.torch": "PyTorch"}
    versions = [f"{name} {tags[tag]}" for tag, name in names.items() if tag in tags]
    return ", ".join([f"{same}{dirty}", *versions])


def _lock(history: RunHistory | None) -> str:
    recorded = history.tags.get("dvc.lock.sha256") if history else None
    if recorded is None:
        return "unknown: there was none when training began, or nobody recorded it"
    return f"sha256 {recorded[:SHORT]} when training began"


def _mlflow(history: RunHistory | None) -> str:
    if history is None:
        return NOT_HERE
    # The path of a file says where this machine keeps it, which is nobody's business.
    place = (
        history.place if "://" in history.place and not history.place.startswith("sqlite") else "mlflow.db"
    )
    run = f"run {history.name}" + (f" ({history.run_id})" if history.run_id else ", not sent yet")
    return f"{run}, experiment {history.experiment}, {place}"
