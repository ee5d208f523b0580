"""The networks behind the metrics that need weights: which files, if they are the right ones, what lacks.

    network        metrics                      files
    inception      fid_a                        evaluate.inception_path
    inception_tf   fid, clean_fid, kid          evaluate.inception_tf_path
    lpips_alex     lpips_alex                   evaluate.alexnet_path, evaluate.lpips_alex_path
    lpips_squeeze  lpips_squeeze                evaluate.squeezenet_path, evaluate.lpips_squeeze_path
    face           face_cosine_target, _source  those of the section `face`

A file that is not there makes its network lack. One that is there must have the sha256 of the published file,
or the one that `evaluate.expected_sha256` names for it: a number of another network is worse than none.

Public: `Networks`, `find_networks(section, *, root)`, `NETWORK_FILES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mcld.config import EvaluateParams
from mcld.errors import WeightsError
from mcld.storage import sha256_of_file

if TYPE_CHECKING:
    from mcld.conditions.face import FaceModels

NetworkName = Literal["inception", "inception_tf", "lpips_alex", "lpips_squeeze", "face"]
_TORCHVISION = "download.pytorch.org/models"
_LPIPS = "lpips/weights/v0.1 in richzhang/PerceptualSimilarity"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """A file of weights as everyone uses it. `sha256` is the published one's, or its first digits."""

    setting: str  # of the section `evaluate`, which names a copy
    name: str
    sha256: str
    origin: str
    is_shipped: bool = False  # with torchmetrics, which takes the place of a copy that is not named


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
    faces: FaceModels | None = None

    def with_faces(self, faces: FaceModels) -> Networks:
        """The same, and what recognises faces."""
        return replace(self, faces=faces)

    def sha256_of(self, name: NetworkName) -> list[str]:
        """The hashes of a network's files, which say which network that is."""
        return next(list(files.sha256) for files in self.files if files.name == name)


INCEPTION = PublishedFile(
    setting="inception_path",
    name="inception_v3_google-0cc3c7bd.pth",
    sha256="0cc3c7bd",
    origin=f"torchvision's Inception-v3 IMAGENET1K_V1, inception_v3_google-0cc3c7bd.pth from {_TORCHVISION}",
)
INCEPTION_TF = PublishedFile(
    setting="inception_tf_path",
    name="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
    origin="the TensorFlow port pt_inception-2015-12-05-6726825d.pth from the releases of "
    "mseitzer/pytorch-fid",
)
ALEXNET = PublishedFile(
    setting="alexnet_path",
    name="alexnet-owt-7be5be79.pth",
    sha256="7be5be79",
    origin=f"torchvision's AlexNet IMAGENET1K_V1, alexnet-owt-7be5be79.pth from {_TORCHVISION}",
)
SQUEEZENET = PublishedFile(
    setting="squeezenet_path",
    name="squeezenet1_1-b8a52dc0.pth",
    sha256="b8a52dc0",
    origin=f"torchvision's SqueezeNet 1.1 IMAGENET1K_V1, squeezenet1_1-b8a52dc0.pth from {_TORCHVISION}",
)
LPIPS_ALEX = PublishedFile(
    setting="lpips_alex_path",
    name="alex.pth",
    sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    origin=f"alex.pth of {_LPIPS}",
    is_shipped=True,
)
LPIPS_SQUEEZE = PublishedFile(
    setting="lpips_squeeze_path",
    name="squeeze.pth",
    sha256="4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
    origin=f"squeeze.pth of {_LPIPS}",
    is_shipped=True,
)
NETWORK_FILES: dict[NetworkName, tuple[PublishedFile, ...]] = {
    "inception": (INCEPTION,),
    "inception_tf": (INCEPTION_TF,),
    "lpips_alex": (ALEXNET, LPIPS_ALEX),
    "lpips_squeeze": (SQUEEZENET, LPIPS_SQUEEZE),
}


def find_networks(section: EvaluateParams, *, root: Path) -> tuple[Networks, dict[NetworkName, str]]:
    """The networks of the section whose files are there, and why others are not: all but `face`.

    Relative paths start at `root`. Files are not read but for their hashes. Raises WeightsError for a file
    that is there and is another one, and for an expected hash that is of none of them.
    """
    _check_names(section)
    files: list[NetworkFiles] = []
    lacking: dict[NetworkName, str] = {}
    for name, published in NETWORK_FILES.items():
        paths = [_path_of(file, section=section, root=root) for file in published]
        absences = [_absence(file, path=path) for file, path in zip(published, paths, strict=True)]
        if reasons := [absence for absence in absences if absence]:
            lacking[name] = f"needs {'; and '.join(reasons)}"
            continue
        there = tuple(path for path in paths if path is not None)
        hashes = tuple(
            _checked(path, file=file, expected=section.expected_sha256)
            for file, path in zip(published, there, strict=True)
        )
        files.append(NetworkFiles(name=name, paths=there, sha256=hashes))
    return Networks(files=tuple(files)), lacking


def _path_of(file: PublishedFile, *, section: EvaluateParams, root: Path) -> Path | None:
    named: str | None = getattr(section, file.setting)
    if named:
        return root / named
    return shipped_path(file) if file.is_shipped else None


def shipped_path(file: PublishedFile) -> Path | None:
    """Where torchmetrics keeps its copy, which is that of the lpips package byte for byte."""
    spec = find_spec("torchmetrics")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / file.name


def _absence(file: PublishedFile, *, path: Path | None) -> str | None:
    """What lacks and how to get it; None where a file is there."""
    if path is None:
        return f"{file.origin}; name the file in evaluate.{file.setting}"
    if not path.is_file():
        return f"{file.origin}; {path} is not there (evaluate.{file.setting})"
    return None


def _checked(path: Path, *, file: PublishedFile, expected: Mapping[str, str]) -> str:
    """The file's hash."""
    found = sha256_of_file(path)
    own = expected.get(path.name)
    if own is not None and found != own:
        raise WeightsError(
            f"{path}: sha256 is {found}, expected {own} by evaluate.expected_sha256; the file is damaged or "
            f"another one: copy {file.origin} again"
        )
    if own is None and not found.startswith(file.sha256):
        raise WeightsError(
            f"{path}: sha256 is {found}, expected {_said(file.sha256)}, as the published file has; it is "
            f"damaged or another one: copy {file.origin} again; or, if it is meant, set "
            f"evaluate.expected_sha256: {{{path.name}: {found}}}"
        )
    return found


def _said(sha256: str) -> str:
    return sha256 if len(sha256) == 64 else f"one that begins with {sha256}"


def _check_names(section: EvaluateParams) -> None:
    """A hash that no file is held against would check nothing."""
    published = [file for files in NETWORK_FILES.values() for file in files]
    names = [Path(getattr(section, file.setting) or file.name).name for file in published]
    for name in section.expected_sha256:
        if name not in names:
            raise WeightsError(
                f"evaluate.expected_sha256: '{name}' is none of the files that metrics need; those are "
                f"{', '.join(names)}: name one of them, or none"
            )
