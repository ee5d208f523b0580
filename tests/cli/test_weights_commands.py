"""`mcld weights`: import and export through the command line; a mistake is one sentence and exit code 2."""

from __future__ import annotations

from pathlib import Path

import torch

from mcld.models import authors_states, load_mcld, save_mcld
from mcld.models.authors import RECORD_NAME
from tests.models.tiny import tiny_model
from tests.workspaces import run_mcld


def mcld_weights(*arguments: object) -> tuple[int, str, str]:
    done = run_mcld("weights", *map(str, arguments), cwd=Path.cwd())
    return done.returncode, done.stdout, done.stderr


def test_a_model_goes_to_the_authors_files_and_back(tmp_path: Path) -> None:
    model = tiny_model()
    save_mcld(model, directory=tmp_path / "model")
    code, said, error = mcld_weights("export-authors", tmp_path / "model", tmp_path / "release")
    assert (code, error) == (0, "")
    assert "note: the authors' code rounds reference features to float16" in said
    assert "image_proj_model.pth (image_projector.pth in the authors' README)" in said
    code, said, error = mcld_weights(
        *("import-authors", tmp_path / "release", tmp_path / "again", "--iuv-order", "iuv"),
        *("--config", tmp_path / "model" / "model_index.json"),
    )
    assert (code, error) == (0, "")
    assert said.count("sha256") == 4
    assert (tmp_path / "again" / RECORD_NAME).is_file()
    again = load_mcld(tmp_path / "again")
    assert again.config == model.config
    weights = again.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_files_of_another_size_are_one_sentence(tmp_path: Path) -> None:
    for name, state in authors_states(tiny_model()).items():
        torch.save(state, tmp_path / f"{name}.pth")
    code, said, error = mcld_weights("import-authors", tmp_path, tmp_path / "model")
    assert (code, said) == (2, "")
    assert error.startswith(f"mcld: {tmp_path / 'denoising_unet.pth'}: does not fit this model: ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "model").exists()
