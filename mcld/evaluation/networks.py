"""The networks behind the metrics that need weights: which files, where they lie, and what is not there.

    network        metrics                      files
    inception      fid_a                        evaluate.inception_path
    inception_tf   fid, clean_fid, kid          evaluate.inception_tf_path
    lpips_alex     lpips_alex                   evaluate.alexnet_path, evaluate.lpips_alex_path
    lpips_squeeze  lpips_squeeze                evaluate.squeezenet_path, evaluate.lpips_squeeze_path
    face           face_cosine_target, _source  those of the section `face`

Public: `Networks`, `find_networks(section, *, root)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mcld.config import EvaluateParams
from mcld.storage import sha256_of_file

if TYPE_CHECKING:
    from mcld.conditions.face import FaceModels

NetworkName = Literal["inception", "inception_tf", "lpips_alex", "lpips_squeeze", "face"]

_FILES: dict[NetworkName, tuple[str, str]] = {  # the setting that names it, and what to put there
    "inception": (
        "inception_path",
        "inception_v3_google-0cc3c7bd.pth (torchvision's IMAGENET1K_V1) from download.pytorch.org/models",
    ),
    "inception_tf": (
        "inception_tf_path",
        "pt_inception-2015-12-05-6726825d.pth from the releases of mseitzer/pytorch-fid",
    ),
    "lpips_alex": ("alexnet_path", "alexnet-owt-7be5be79.pth from download.pytorch.org/models"),
    "lpips_squeeze": ("squeezenet_path", "squeezenet1_1-b8a52dc0.pth from download.pytorch.org/models"),
}
_HEADS: dict[NetworkName, str] = {"lpips_alex": "lpips_alex_path", "lpips_squeeze": "lpips_squeeze_path"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFiles:
    """A network whose files are there, each with its sha256."""

    name: NetworkName
    paths: tuple[Path, ...]
    sha256: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """All networks that are there: plain values, so that every process loads its own."""

    files: tuple[NetworkFiles, ...] = ()
    expected_sha256: tuple[tuple[str, str], ...] = ()  # by file name
    faces: FaceModels | None = None

    def with_faces(self, faces: FaceModels) -> Networks:
        """The same, and what recognises faces."""
        return replace(self, faces=faces)

    def fingerprint_of(self, name: NetworkName) -> object:
        """Plain data saying which network that is: hashes, and how faces are looked for."""
        if name == "face":
            assert self.faces is not None
            faces = self.faces
            hashes = (faces.detector_sha256, faces.recogniser_sha256)
            return [*hashes, faces.det_size_px, faces.min_score]
        return next(list(files.sha256) for files in self.files if files.name == name)


def find_networks(section: EvaluateParams, *, root: Path) -> tuple[Networks, dict[NetworkName, str]]:
    """The networks of the section whose files are there, and why others are not: all but `face`.

    Relative paths start at `root`. Files are not read but for their hashes.
    """
    files: list[NetworkFiles] = []
    lacking: dict[NetworkName, str] = {}
    for name, (setting, wanted) in _FILES.items():
        paths = _paths(section, name=name, setting=setting, root=root)
        if paths is None:
            lacking[name] = f"needs {wanted}; name the file in evaluate.{setting}"
        elif missing := [path for path in paths if not path.is_file()]:
            lacking[name] = f"needs {wanted}; {missing[0]} is not there"
        else:
            hashes = tuple(sha256_of_file(path) for path in paths)
            files.append(NetworkFiles(name=name, paths=paths, sha256=hashes))
    expected_sha256 = tuple(sorted(section.expected_sha256.items()))
    return Networks(files=tuple(files), expected_sha256=expected_sha256), lacking


def _paths(
    section: EvaluateParams, *, name: NetworkName, setting: str, root: Path
) -> tuple[Path, ...] | None:
    given: Mapping[str, str | None] = section.model_dump(include={setting, _HEADS.get(name, setting)})
    trunk = given[setting]
    if trunk is None:
        return None
    if name not in _HEADS:
        return (root / trunk,)
    heads = given[_HEADS[name]]
    return (root / trunk, _shipped_heads(name) if heads is None else root / heads)


def _shipped_heads(name: NetworkName) -> Path:
    """LPIPS's own weights, version 0.1: torchmetrics brings the published files (BSD-2-Clause)."""
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    models_dir = Path(spec.origin).parent / "functional" / "image" / "lpips_models"
    return models_dir / f"{name.removeprefix('lpips_')}.pth"
