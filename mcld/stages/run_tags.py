"""Tags by which runs are found again: the ablation of the paper, the seed, the profile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mcld.config import ModelParams, Params, load_params
from mcld.errors import ConfigError
from mcld.tracking import flatten

PROFILES_DIR = Path("profiles")
FULL = "full"
# What the paper's table calls them, and the settings of `model` in which they differ from the full model.
ABLATIONS: Mapping[str, Mapping[str, object]] = {
    "B1": {"use_texture": False, "use_face": False},
    "B3": {"aggregation": "concat"},
    "B5": {"use_face": False},
    FULL: {},
}
OTHER = "other"
# What concerns a machine, a reader or a repetition makes no other profile.
FREE_SECTIONS = {"generate", "evaluate", "probe", "report", "runtime"}
FREE_ENDINGS = (".root_dir", ".base_dir", ".models_dir", "_path", "_sha256", ".seed")


def run_tags(params: Params, *, root: Path) -> dict[str, str]:
    """`ablation`, `seed`, and `profile` where the folder `root` has profiles to compare with."""
    tags = {"ablation": ablation_of(params.model), "seed": str(params.train.seed)}
    profile = profile_of(params, root=root)
    return tags if profile is None else tags | {"profile": profile}


def ablation_of(model: ModelParams) -> str:
    """The paper's name of a variant by its settings; `other` for a combination that the paper has not."""
    fields = {name for changes in ABLATIONS.values() for name in changes} | {"use_reference"}
    plain = ModelParams()
    found = {name: getattr(model, name) for name in fields if getattr(model, name) != getattr(plain, name)}
    return next((name for name, changes in ABLATIONS.items() if changes == found), OTHER)


def profile_of(params: Params, *, root: Path) -> str | None:
    """The profile that has these settings, `other` for settings of one's own; None without profiles."""
    paths = sorted((root / PROFILES_DIR).glob("*.yaml"))
    if not paths:
        return None
    wanted = _shaping(params)
    for path in paths:
        try:
            if _shaping(load_params(path)) == wanted:
                return path.stem
        except ConfigError:  # a broken profile is no reason not to train with another
            continue
    return OTHER


def _shaping(params: Params) -> dict[str, object]:
    values = flatten(params.model_dump(mode="json", exclude=FREE_SECTIONS))
    return {name: value for name, value in values.items() if not name.endswith(FREE_ENDINGS)}
