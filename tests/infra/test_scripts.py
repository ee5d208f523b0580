"""Scripts of infra/ parse, draw secrets that programs take, and queue a stopped Slurm job again."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from infra.stack.credentials import Credentials
from tests.workspaces import CHECKOUT

INFRA = CHECKOUT / "infra"
SCRIPTS = sorted(path for path in INFRA.rglob("*") if path.suffix in {".sh", ".sbatch"})


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_for_the_shell_that_runs_it(script: Path) -> None:
    shell = "bash" if "bash" in script.read_text().partition("\n")[0] else "sh"
    subprocess.run([shell, "-n", str(script)], check=True)


def test_secrets_of_containers_are_drawn_once_into_a_closed_folder(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    for _ in range(2):
        subprocess.run(
            ["sh", str(INFRA / "make-secrets.sh"), str(directory)], check=True, capture_output=True
        )
        texts = {path.name: path.read_text() for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    made = Credentials(directory=directory)
    access_key, secret_key = made.store_key_pair()
    assert access_key in texts["s3.json"]
    assert secret_key in texts["s3.json"]
    drawn = {texts["postgres-password"], secret_key, *map(made.database_password, ("mlflow", "prefect"))}
    assert len(drawn) == 4
    assert min(map(len, drawn)) >= 48


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_passwords_that_others_can_read_are_copied_for_programs_that_mind(tmp_path: Path, mode: int) -> None:
    given = tmp_path / "pgpass"
    given.write_text("*:*:*:mlflow:x\n")
    given.chmod(mode)
    script = (
        f'. {INFRA}/entrypoints/secrets.sh; stat -c %a "$PGPASSFILE"; echo "$PGPASSFILE"; cat "$PGPASSFILE"'
    )
    variables = {**os.environ, "MCLD_SECRETS_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(["sh", "-euc", script], env=variables, capture_output=True, text=True, check=True)
    used_mode, used, text = done.stdout.splitlines()
    assert (used_mode, text) == ("600", "*:*:*:mlflow:x")
    assert (used == str(given)) is (mode == 0o600)


@pytest.mark.parametrize(("code", "is_queued_again"), [(0, False), (75, True), (2, False)])
def test_slurm_queues_a_training_again_that_stopped_with_a_checkpoint(
    tmp_path: Path, code: int, is_queued_again: bool
) -> None:
    """With stand-ins for Slurm's own commands, which note how they are called."""
    _program(tmp_path / "scontrol", f'echo "$@" >> {tmp_path}/said; test "$1" != show || echo node7')
    _program(tmp_path / "srun", 'shift; SLURM_NODEID=1 "$@"')
    _program(
        tmp_path / "python",
        f'echo "$MCLD_NUM_NODES $MCLD_NODE_RANK $MCLD_RENDEZVOUS $*" >> {tmp_path}/ran; exit {code}',
    )
    variables = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_NNODES": "2",
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "MCLD_PYTHON": str(tmp_path / "python"),
    }
    done = subprocess.run(["bash", str(INFRA / "slurm" / "train.sbatch")], env=variables, check=False)
    assert done.returncode == code
    assert (tmp_path / "ran").read_text() == "2 1 node7:20012 -m mcld run train\n"
    assert ("requeue 12" in (tmp_path / "said").read_text()) is is_queued_again


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
