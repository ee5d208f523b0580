"""The table of stages, and running one while nobody else does."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mcld.config import Params
from mcld.errors import ConfigError, WorkspaceBusyError
from mcld.stages import STAGES, run_stage, stage_spec
from mcld.stages.mapper import SerialMapper
from mcld.workspace import Workspace
from tests.stages.tiny_pipeline import run_data_stage

HOLD_WORKSPACE = """
import os, signal, sys
from pathlib import Path
from mcld.workspace import Workspace
with Workspace(root=Path(sys.argv[1])).locked():
    print(os.getpid(), flush=True)
    signal.pause()
"""


def test_stages_read_only_stages_before_them_and_know_their_sections() -> None:
    seen: set[str] = set()
    for spec in STAGES:
        assert set(spec.inputs) <= seen, spec.name
        assert set(spec.params) <= set(Params.model_fields), spec.name
        assert find_spec(spec.module), spec.name
        seen.add(spec.name)


def test_importing_the_table_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "cv2", "pyarrow", "pydantic"}
    code = f"import sys, mcld.stages; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_stage_is_an_error_naming_all() -> None:
    with pytest.raises(ConfigError, match="unknown stage 'pose'; stages are: dataset, weights, densepose"):
        stage_spec("pose")


def test_second_run_in_a_workspace_is_refused_and_a_dead_ones_lock_is_taken_over(
    workspace_copy: Workspace,
) -> None:
    root = str(workspace_copy.root)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_WORKSPACE, root], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        pid = holder.stdout.readline().strip()
        try:
            with pytest.raises(WorkspaceBusyError, match=f"process {pid} is running a stage here"):
                run_stage("face", Params(), workspace=workspace_copy, mapper=SerialMapper())
        finally:
            holder.kill()
    run_data_stage("face", workspace=workspace_copy)


def test_workspace_is_free_again_after_an_error(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path)
    for _ in range(2):
        with pytest.raises(Exception, match="has not finished here"):
            run_stage("face", Params(), workspace=workspace, mapper=SerialMapper())
