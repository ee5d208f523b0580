"""What an ONNX file says it takes and gives, read before any library runs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mcld.conditions.face.recogniser import ALIGNED_PX
from mcld.errors import WeightsError

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | None, ...]  # None: open
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Inputs and outputs of a network by name, weights left out."""

    path: Path
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]

    @property
    def input_shape(self) -> Shape:
        """Of the first input, which is the image."""
        return next(iter(self.inputs.values()))

    def __str__(self) -> str:
        taken = " and ".join(map(_spell, self.inputs.values()))
        return f"takes {taken}, gives {', '.join(map(_spell, self.outputs.values()))}"


def read_signature(path: Path, *, remedy: str) -> Signature:
    """Read a file's inputs and outputs.

    Raises WeightsError when it is no ONNX network or keeps its weights in other files, which no hash of this
    one would vouch for. `remedy` says where a right one comes from.
    """
    model = _read(path, remedy=remedy)
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    inputs = _shapes(value for value in graph.input if value.name not in weights)
    if not (graph.node and inputs and graph.output):
        raise WeightsError(f"{path}: holds no ONNX network; {remedy}")
    if any(weight.external_data for weight in graph.initializer):
        raise WeightsError(f"{path}: keeps its weights in other files; {remedy}")
    return Signature(path=path, inputs=inputs, outputs=_shapes(graph.output))


def check_recogniser(signature: Signature, *, remedy: str) -> int:
    """The embedding's length. Raises WeightsError unless an aligned face goes in and one vector comes out."""
    outputs = list(signature.outputs.values())
    dim = outputs[0][-1] if len(outputs) == 1 and outputs[0] else None
    takes_face = fits(signature.input_shape, wanted=(1, 3, ALIGNED_PX, ALIGNED_PX))
    if len(signature.inputs) != 1 or not takes_face or dim is None:
        raise WeightsError(
            f"{signature.path}: {signature}; expected a recogniser that takes ?x3x{ALIGNED_PX}x{ALIGNED_PX} "
            f"and gives one vector of a fixed length; {remedy}"
        )
    return dim


def fits(shape: Shape, *, wanted: Shape) -> bool:
    """Whether two shapes can be one: lengths that both name are equal."""
    return len(shape) == len(wanted) and all(
        None in (have, want) or have == want for have, want in zip(shape, wanted, strict=True)
    )


def _read(path: Path, *, remedy: str) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        with path.open("rb") as file:
            if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise WeightsError(f"{path}: is Git LFS's note of a file, not the file; run `git lfs pull`")
        return onnx.load_model(str(path), load_external_data=False)
    except DecodeError as error:
        raise WeightsError(f"{path}: not a whole ONNX file; {remedy}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error


def _shapes(values: Iterable[onnx.ValueInfoProto]) -> dict[str, Shape]:
    return {
        value.name: tuple(
            dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim
        )
        for value in values
    }


def _spell(shape: Shape) -> str:
    return "x".join("?" if length is None else str(length) for length in shape) or "a scalar"
