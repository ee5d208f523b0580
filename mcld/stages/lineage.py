"""What a model was made from, link by link: code, environment, settings, data, weights, runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mcld.data.manifest import MANIFEST_NAME, read_manifest
from mcld.errors import DataError
from mcld.stages import STAGES
from mcld.stages.remember import identity_of_model
from mcld.storage import fingerprint, sha256_of_file
from mcld.tracking import RunRecord
from mcld.types import Manifest
from mcld.workspace import Workspace

MODEL_STAGE = "train"
UNKNOWN = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of the chain: what it is, and what identifies it."""

    title: str
    facts: tuple[tuple[str, str], ...]


def lineage(
    run: RunRecord | None, *, workspace: Workspace, made_from: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Link, ...]:
    """The chain of a model: what its run has recorded, then the files of this workspace if they made it.

    `made_from` is the run's artifact of that name, for the files of models that were made elsewhere.

    Without a run that of the workspace's own model, as far as its files tell. Raises DataError when a
    manifest is damaged, or where there is neither run nor model.
    """
    identity = _identity_here(workspace)
    if run is None and identity is None:
        raise DataError(
            f"{workspace.stage_dir(MODEL_STAGE)}: no model here; run `dvc repro train`, or name a run"
        )
    links = () if run is None else _of_run(run)
    if run is not None and run.identity != identity:
        said = "none" if identity is None else f"another, {identity}"
        here = Link(title="model in this workspace", facts=(("identity", said),))
        return (*links, *_of_recorded(made_from), here)
    return (*links, *_of_files(workspace))


def _identity_here(workspace: Workspace) -> str | None:
    has_model = (workspace.stage_dir(MODEL_STAGE) / MANIFEST_NAME).is_file()
    return identity_of_model(workspace) if has_model else None


def _of_run(run: RunRecord) -> tuple[Link, ...]:
    def told(names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple((shown, run.tags.get(tag, UNKNOWN)) for shown, tag in names.items())

    versions = {
        f"version of {tag.removeprefix('version.')}": tag for tag in run.tags if tag.startswith("version.")
    }
    return (
        Link(
            title="code",
            facts=told(
                {
                    "git commit": "git.commit",
                    "uncommitted changes": "git.dirty",
                    "changed files": "git.changed",
                }
            ),
        ),
        Link(
            title="environment",
            facts=told({"requirements.lock, sha256": "environment.lock.sha256", **versions, "host": "host"}),
        ),
        Link(
            title="settings",
            facts=(
                ("settings recorded", str(len(run.params))),
                ("their fingerprint", fingerprint(dict(sorted(run.params.items())))),
                *told({"dvc.lock, sha256": "dvc.lock.sha256"}),
            ),
        ),
        Link(title="data", facts=told({"training shards, fingerprint": "mcld.shards"})),
        Link(
            title="run",
            facts=(
                ("MLflow run", f"{run.run_id} ({run.name}, experiment {run.experiment})"),
                *told({"Prefect flow run": "prefect.flow_run_id"}),
                ("identity of the model", run.identity or UNKNOWN),
            ),
        ),
    )


def _of_recorded(made_from: Mapping[str, Any]) -> tuple[Link, ...]:
    """A link a stage before the model, as its run recorded it."""
    stages = made_from.get("dvc_lock", {}).get("stages", {})
    links = []
    for stage, sha256 in made_from.get("manifests", {}).items():
        facts = [("manifest, sha256", str(sha256))]
        facts += [("md5 by DVC", str(out["md5"])) for out in stages.get(stage, {}).get("outs", ())]
        if stage == "weights":
            facts += [(path, str(digest)) for path, digest in made_from.get("weights", {}).items()]
        links.append(Link(title=f"artifacts/{stage}, as recorded", facts=tuple(facts)))
    return tuple(links)


def _of_files(workspace: Workspace) -> tuple[Link, ...]:
    """A link a stage up to the model: its manifest, and the weights that it is to be made from."""
    links = []
    for spec in STAGES:
        directory = workspace.stage_dir(spec.name)
        if not (directory / MANIFEST_NAME).is_file():
            links.append(Link(title=f"artifacts/{spec.name}", facts=(("manifest", "not in this workspace"),)))
            continue
        manifest = read_manifest(directory)
        facts = [
            ("manifest, sha256", sha256_of_file(directory / MANIFEST_NAME)),
            ("items", f"{manifest.num_items:,} in {len(manifest.parts):,} parts"),
            *_weights_of(manifest),
        ]
        links.append(Link(title=f"artifacts/{spec.name}", facts=tuple(facts)))
        if spec.name == MODEL_STAGE:
            break
    return tuple(links)


def _weights_of(manifest: Manifest) -> list[tuple[str, str]]:
    """The hashes of networks that the manifest names; of the stage `weights`, of every file."""
    if manifest.stage == "weights":
        return [(part.path, part.sha256) for part in manifest.parts]
    return [
        (key.replace("_sha256", ", sha256"), value)
        for key, value in manifest.settings.items()
        if key.endswith("sha256") and isinstance(value, str)
    ]
