"""A pack of insightface's models: where it lies, which of its networks do what, and what is wrong with it.

All of this is known before insightface is asked: it would download a pack that it does not find, and take
whatever networks it finds for the right ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mcld.conditions.face.onnx_files import Signature, check_recogniser, fits, read_signature
from mcld.conditions.face.recogniser import ALIGNED_PX
from mcld.errors import WeightsError

ONNX = "*.onnx"
MANIFEST_NAME = "manifest.json"
ORIGIN = "release model-zoo of github.com/deepinsight/insightface (non-commercial research)"
REMEDY = f"copy the pack again from {ORIGIN}"
_OUTPUT_SIZES = (1, 4, 10)  # score, box, five points
_NUM_LEVELS = {9: 3, 15: 5}  # strides by outputs, of detectors that give points
_OTHER_NETS_PX = (96, 192)  # sides that insightface takes for its nets of age and landmarks


@dataclass(frozen=True, slots=True, kw_only=True)
class PackNetworks:
    """The two networks of a pack that are used."""

    detector: Signature
    recogniser: Signature
    dim: int  # of the embedding


def pack_files(models_dir: Path, *, pack: str) -> dict[str, Path]:
    """The pack's files by name. Raises WeightsError saying what is missing or elsewhere, and the remedy."""
    directory = models_dir / "models" / pack
    files = {path.name: path for path in sorted(directory.glob(ONNX))}
    if not files:
        raise WeightsError(f"{directory}: {_why_empty(directory, models_dir=models_dir)}")
    if (directory / MANIFEST_NAME).exists():
        raise WeightsError(
            f"{directory / MANIFEST_NAME}: packs with a manifest are not read, since it decides how images "
            "are prepared; use antelopev2 or one of buffalo_l, buffalo_m, buffalo_s"
        )
    return files


def find_networks(files: dict[str, Path], *, det_size_px: int) -> PackNetworks:
    """The pack's first detector and first recogniser, by insightface's rules, checked.

    Raises WeightsError naming the file, what it is and what was expected.
    """
    signatures = [read_signature(path, remedy=REMEDY) for path in files.values()]
    roles = [(_role(signature), signature) for signature in signatures]
    found: dict[str, Signature] = {}
    for role, signature in roles:
        found.setdefault(role, signature)
    for role in ("detector", "recogniser"):
        if role not in found:
            listed = "; ".join(f"{signature.path.name} {signature}" for signature in signatures)
            raise WeightsError(f"{signatures[0].path.parent}: no {role} among {listed}; {REMEDY}")
    _check_detector(found["detector"], det_size_px=det_size_px)
    dim = check_recogniser(found["recogniser"], remedy=REMEDY)
    return PackNetworks(detector=found["detector"], recogniser=found["recogniser"], dim=dim)


def _check_detector(signature: Signature, *, det_size_px: int) -> None:
    shapes = list(signature.outputs.values())
    num_levels = _NUM_LEVELS.get(len(shapes))
    wanted = [size for size in _OUTPUT_SIZES for _ in range(num_levels or 0)]
    sizes_fit = num_levels and all(
        shape[-1:] in ((size,), (None,)) for shape, size in zip(shapes, wanted, strict=True)
    )
    if not sizes_fit or not fits(signature.input_shape, wanted=(1, 3, None, None)):
        raise WeightsError(
            f"{signature.path}: {signature}; expected a detector that takes ?x3x?x? and gives 9 outputs, "
            f"scores of 1, boxes of 4 and points of 10 for three strides; {REMEDY}"
        )
    if not fits(signature.input_shape, wanted=(None, None, det_size_px, det_size_px)):
        raise WeightsError(
            f"{signature.path}: {signature}, but face.det_size_px is {det_size_px}; set it to the size that "
            "the detector takes"
        )


def _role(signature: Signature) -> str:
    """What insightface takes a network for, by the rules of its router."""
    if len(signature.outputs) >= 5:
        return "detector"
    shape = signature.input_shape
    if len(shape) != 4 or None in shape[2:]:
        raise WeightsError(
            f"{signature.path}: {signature}; that is no network of a face pack: take it out of the folder"
        )
    side_px = shape[2] or 0
    is_square = shape[2] == shape[3] and side_px >= ALIGNED_PX and side_px % 16 == 0
    is_other = side_px in _OTHER_NETS_PX or len(signature.inputs) == 2
    return "recogniser" if is_square and not is_other else "other"


def _why_empty(directory: Path, *, models_dir: Path) -> str:
    """Why a pack's folder has no networks, as far as its surroundings tell, and what to do."""
    pack = directory.name
    for zip_path in (
        directory.with_name(f"{pack}.zip"),
        directory / f"{pack}.zip",
        models_dir / f"{pack}.zip",
    ):
        if zip_path.is_file():
            return f"no {ONNX}, but there is {zip_path}: unpack it, `unzip {zip_path} -d {directory}`"
    for inner in sorted(directory.glob(f"*/{ONNX}")):
        return f"its files lie one folder too deep, as in antelopev2.zip: `mv {inner.parent}/* {directory}/`"
    for elsewhere in (models_dir / pack, models_dir):
        if any(elsewhere.glob(ONNX)):
            return (
                f"no {ONNX}, but there are some in {elsewhere}: `mkdir -p {directory}`, and move them there"
            )
    return (
        f"no {ONNX}; put the files of {pack}.zip there (of antelopev2, scrfd_10g_bnkps.onnx and "
        f"glintr100.onnx are enough), from {ORIGIN}, or name the folder that holds models/{pack}/ in "
        "face.models_dir; nothing is downloaded for you"
    )
