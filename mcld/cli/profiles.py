"""Ready-made params files: list them, and put one in params.yaml's place without losing what was there."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from mcld.config import PARAMS_PATH, load_params
from mcld.errors import ConfigError
from mcld.storage import write_bytes

PROFILES_DIR = Path("profiles")
BACKUP_SUFFIX = ".bak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A params file with a name; `summary` is its first comment line, without the name."""

    name: str
    path: Path
    summary: str
    in_use: bool


def list_profiles(root: Path) -> list[Profile]:
    """All profiles of a workspace by name. Raises ConfigError when there are none."""
    paths = sorted((root / PROFILES_DIR).glob("*.yaml"))
    if not paths:
        raise ConfigError(
            f"{(root / PROFILES_DIR).resolve()}: no profiles here; run the command in the project's folder"
        )
    current = _bytes_or_none(root / PARAMS_PATH)
    return [
        Profile(name=path.stem, path=path, summary=_first_comment(path), in_use=path.read_bytes() == current)
        for path in paths
    ]


def use_profile(name: str, *, root: Path) -> Path | None:
    """Copy a profile over params.yaml; what it replaces is kept as params.yaml.bak if no profile holds it.

    Returns the backup's path if one was made. Raises ConfigError for an unknown or unusable profile, and
    changes nothing then.
    """
    profiles = {profile.name: profile for profile in list_profiles(root)}
    if name not in profiles:
        close = difflib.get_close_matches(name, profiles, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"profiles are: {', '.join(profiles)}"
        raise ConfigError(f"unknown profile '{name}'; {hint}")
    chosen = profiles[name]
    load_params(chosen.path)
    backup = _back_up(root / PARAMS_PATH, profiles=list(profiles.values()))
    write_bytes(root / PARAMS_PATH, data=chosen.path.read_bytes())
    return backup


def _back_up(params_path: Path, *, profiles: list[Profile]) -> Path | None:
    current = _bytes_or_none(params_path)
    if current is None or any(profile.in_use for profile in profiles):
        return None
    backup = params_path.with_name(params_path.name + BACKUP_SUFFIX)
    write_bytes(backup, data=current)
    return backup


def _bytes_or_none(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _first_comment(path: Path) -> str:
    with path.open() as file:
        return file.readline().lstrip("# ").strip().removeprefix(f"{path.stem}: ")
