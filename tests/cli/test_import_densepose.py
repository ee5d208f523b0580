"""`mcld weights import-densepose`: what is not the published file is one sentence and exit code 2."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from tests.workspaces import run_mcld


def test_a_pickle_of_something_else_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    source, out = tmp_path / "model_final.pkl", tmp_path / "densepose.safetensors"
    for value, message in (
        ({"model": {"a": np.zeros(3, np.float32)}}, "does not fit this model: 'backbone.bottom_up.stem"),
        ({"model": [1]}, "it holds a list under 'model', not an array under a name"),
    ):
        source.write_bytes(pickle.dumps(value))
        done = run_mcld("weights", "import-densepose", str(source), str(out), cwd=Path.cwd())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"mcld: {source}: {message}")
        assert len(done.stderr.splitlines()) == 1
        assert not out.exists()
