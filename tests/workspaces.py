"""Workspaces for tests that run the project's own commands: a copy of the checkout, miniature settings."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from ruamel.yaml import YAML

from mcld.__main__ import app, with_exit_codes

CHECKOUT = Path(__file__).resolve().parents[1]
COPIED = ("mcld", "flows", "profiles", "params.yaml", "dvc.yaml", "prefect.yaml", ".dvcignore", ".gitignore")
# Everything of the demo, at a size where all of it takes seconds.
MINIATURE: dict[str, dict[str, object]] = {
    "dataset": {
        "num_outfits": 6,
        "num_test_outfits": 2,
        "height_px": 64,
        "width_px": 48,
        "damaged_items": False,
        "outfits_per_part": 3,
    },
    "texture": {"part_size_px": 16, "fill_margin_px": 2},
    "latents": {"height_px": 64, "width_px": 48, "texture_height_px": 64, "texture_width_px": 48},
    "train": {
        "steps": 4,
        "batch_size": 2,
        "warmup_steps": 1,
        "checkpoint_every_steps": 2,
        "sample_every_steps": 4,
        "num_sample_pairs": 1,
    },
    "generate": {"num_pairs": 4, "num_inference_steps": 2, "height_px": 64, "width_px": 48},
    "report": {"num_rows": 2},
    "runtime": {"num_workers": 1},
}


def make_checkout(directory: Path) -> Path:
    """A git repository with the pipeline, its code and miniature settings; nothing has run in it yet."""
    directory.mkdir()
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    (directory / ".dvc").mkdir()
    shutil.copy(CHECKOUT / ".dvc" / "config", directory / ".dvc" / "config")
    change_params(directory, changes=MINIATURE)
    subprocess.run(["git", "init", "--quiet"], cwd=directory, check=True)
    return directory


def commit_all(directory: Path) -> None:
    """Commit everything that git does not ignore."""
    author = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    subprocess.run(["git", "add", "."], cwd=directory, check=True)
    subprocess.run(["git", *author, "commit", "--quiet", "--message", "all"], cwd=directory, check=True)


def change_params(directory: Path, *, changes: dict[str, dict[str, object]]) -> None:
    """Set some values of a workspace's params.yaml."""
    yaml = YAML()
    path = directory / "params.yaml"
    raw = yaml.load(path)
    for section, values in changes.items():
        raw[section].update(values)
    yaml.dump(raw, path)


def environment(**extra: str) -> dict[str, str]:
    """This process's environment, its Python's programs first on the PATH, and nothing that phones home."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    quiet = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    # One thread: miniature tensors gain nothing from more, which spin while a neighbour needs the core.
    threads = {"OMP_NUM_THREADS": "1"}
    return {**os.environ, **quiet, **threads, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path, **extra}


def run_mcld(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run our command in this process, in a folder: for what it says and does.

    A process of its own costs seconds of imports. It is for what happens to processes: `run_python`.
    """
    said, complained = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with chdir(cwd), redirect_stdout(said), redirect_stderr(complained):
        try:
            with_exit_codes(lambda: app(list(arguments), prog_name="mcld"))
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(
        ["mcld", *arguments], code, stdout=said.getvalue(), stderr=complained.getvalue()
    )


def run_python(*arguments: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments in a folder; the caller judges the exit code."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
