"""Tiny but real face models with known answers: SCRFD and ArcFace in a pack of insightface, YuNet and SFace.

A face is a magenta square, the marker, of 8, 16 or 32 pixels at the detector's size, on its grid, in the
middle of whatever makes the person. The detectors find markers by their size: what fills a cell of a stride
and leaves its neighbours free scores nearly 1. The box is five cells wide, and the five points lie in it as
they lie in an aligned face, so that aligning is scaling the box to 112 x 112. The embedding is a fixed
projection of the mean colours of 4 x 4 fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[str | int | None]
STRIDES = (8, 16, 32)
BOX_CELLS = 5
MARKER = (255, 0, 255)
MARKER_SCORE = 127.5 / 128
ALIGNED_PX = 112
FIELD_PX = 28
# Where the five points lie in an aligned face: the template of ArcFace, also OpenCV's.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
DETECTOR_NAME, RECOGNISER_NAME = "scrfd_10g_bnkps.onnx", "glintr100.onnx"
YUNET_NAME, SFACE_NAME = "face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Nodes and weights of a network that is being written."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, kind: str, inputs: Sequence[str | np.ndarray], *, to: str, **attributes: Any) -> str:
        """Append a node; arrays among its inputs become weights. Returns its output's name."""
        names = [self._name(value, node=f"{to}.{number}") for number, value in enumerate(inputs)]
        self.nodes.append(helper.make_node(kind, names, [to], name=to, **attributes))
        return to

    def save(self, path: Path, *, input_shape: Shape, outputs: Mapping[str, Shape]) -> None:
        """Write the network whose input is called `input`."""
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())

    def _name(self, value: str | np.ndarray, *, node: str) -> str:
        if isinstance(value, str):
            return value
        self.weights.append(numpy_helper.from_array(value, node))
        return node


def write_pack(directory: Path, *, dim: int = 512, batch: str | int = "batch") -> Path:
    """Write both networks of a pack into `directory`, e.g. <root>/models/antelopev2; returns it."""
    write_scrfd(directory / DETECTOR_NAME)
    write_arcface(directory / RECOGNISER_NAME, dim=dim, batch=batch)
    return directory


def write_opencv(directory: Path, *, dim: int = 128) -> tuple[Path, Path]:
    """Write YuNet and SFace; returns their paths."""
    write_yunet(directory / YUNET_NAME)
    write_sface(directory / SFACE_NAME, dim=dim)
    return directory / YUNET_NAME, directory / SFACE_NAME


def write_scrfd(path: Path, *, with_points: bool = True, size_px: str | int = "size") -> None:
    """Nine outputs, scores then boxes then points by stride; rows cell by cell, two anchors each."""
    graph = Graph()
    # Of RGB in -1..1: how far red and blue are up, and green is down.
    marker = _marker(graph, weights=(1, -1, 1), biases=(0, 0, 0))
    sizes = {"score": 1, "box": 4, "points": 10}
    for stride in STRIDES:
        filled = _filled(graph, marker=marker, stride=stride)
        blob = graph.add("Conv", [filled, np.stack([_ring(), 0 * _ring()])], to=f"blob{stride}", pads=[1] * 4)
        _rows(graph, blob, to=f"score{stride}", size=1)
        for name, values in (("box", (2, 2, 3, 3)), ("points", _points_in_cells())):
            constant = _constant(graph, filled, values=np.tile(values, 2), to=f"{name}_map{stride}")
            _rows(graph, constant, to=f"{name}{stride}", size=sizes[name])
    names = ("score", "box", "points") if with_points else ("score", "box")
    outputs = {f"{name}{stride}": ("rows", sizes[name]) for name in names for stride in STRIDES}
    graph.save(path, input_shape=(1, 3, size_px, size_px), outputs=outputs)


def write_arcface(
    path: Path, *, dim: int = 512, batch: str | int = "batch", size_px: int = ALIGNED_PX
) -> None:
    """Mean colours of 4 x 4 fields, channel by channel, times `projection`."""
    graph = Graph()
    pooled = graph.add(
        "AveragePool", ["input"], to="pooled", kernel_shape=[size_px // 4] * 2, strides=[size_px // 4] * 2
    )
    flat = graph.add("Flatten", [pooled], to="flat")
    graph.add("MatMul", [flat, projection(dim)], to="embedding")
    graph.save(path, input_shape=(batch, 3, size_px, size_px), outputs={"embedding": (batch, dim)})


def write_yunet(path: Path) -> None:
    """Twelve outputs: class, objectness, box and points by stride; one anchor a cell."""
    graph = Graph()
    # Of BGR in 0..255, as OpenCV gives it.
    marker = _marker(graph, weights=(2 / 255, -2 / 255, 2 / 255), biases=(-1, 1, -1))
    outputs: dict[str, Shape] = {}
    box = (0.5, 0.5, np.log(BOX_CELLS), np.log(BOX_CELLS))  # middle, and logarithms of the sides
    for stride in STRIDES:
        filled = _filled(graph, marker=marker, stride=stride)
        blob = graph.add("Conv", [filled, _ring()[None]], to=f"blob{stride}", pads=[1] * 4)
        for name in ("cls", "obj"):
            _rows(graph, blob, to=f"{name}_{stride}", size=1, batch=(1,))
        for name, values in (("bbox", np.array(box)), ("kps", _points_in_cells())):
            constant = _constant(graph, filled, values=values, to=f"{name}_map{stride}")
            _rows(graph, constant, to=f"{name}_{stride}", size=len(values), batch=(1,))
    for name, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        outputs |= {f"{name}_{stride}": (1, "rows", size) for stride in STRIDES}
    graph.save(path, input_shape=(1, 3, "height", "width"), outputs=outputs)


def write_sface(path: Path, *, dim: int = 128) -> None:
    """As ArcFace, of RGB in 0..255."""
    graph = Graph()
    pooled = graph.add(
        "AveragePool", ["input"], to="pooled", kernel_shape=[FIELD_PX] * 2, strides=[FIELD_PX] * 2
    )
    flat = graph.add("Flatten", [pooled], to="flat")
    graph.add("Gemm", [flat, projection(dim), np.zeros(dim, np.float32)], to="fc1")
    graph.save(path, input_shape=(1, 3, ALIGNED_PX, ALIGNED_PX), outputs={"fc1": (1, dim)})


def projection(dim: int) -> np.ndarray:
    """(48, dim) float32 that all recognisers share."""
    return np.random.default_rng(dim).normal(size=(48, dim)).astype(np.float32)


def embedding_of(aligned: np.ndarray, *, dim: int, mean: float = 127.5, scale: float = 127.5) -> np.ndarray:
    """(dim,) of an aligned face, (112, 112, 3) uint8 BGR, as ArcFace; SFace has mean 0 and scale 1."""
    rgb = (aligned[..., ::-1].astype(np.float64) - mean) / scale
    fields = rgb.reshape(4, FIELD_PX, 4, FIELD_PX, 3).mean(axis=(1, 3))  # (4, 4, 3)
    return np.asarray(fields.transpose(2, 0, 1).reshape(-1) @ projection(dim).astype(np.float64))


def paint_face(bgr: np.ndarray, *, column: int, row: int, stride: int, seed: int) -> np.ndarray:
    """Paint a face whose marker fills the cell (column, row) of a stride; returns its box, x0 y0 x1 y1.

    The person is four greenish quarters drawn from `seed`.
    """
    rng = np.random.default_rng(seed)
    x, y = (column - 2) * stride, (row - 2) * stride
    side = BOX_CELLS * stride
    for down in (0, 1):
        for right in (0, 1):
            colour = rng.integers((0, 130, 0), (256, 256, 256))
            bgr[y + down * side // 2 : y + side, x + right * side // 2 : x + side] = colour
    bgr[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride] = MARKER
    return np.array([x, y, x + side, y + side], np.float32)


def _marker(graph: Graph, *, weights: Sequence[float], biases: Sequence[float]) -> str:
    """(1, 1, H, W): about 1 where a pixel is magenta, 0 where it is nothing like it."""
    spread = np.diag(weights).astype(np.float32)[..., None, None]
    likeness = graph.add("Conv", ["input", spread, np.array(biases, np.float32)], to="likeness")
    return graph.add("Relu", [graph.add("ReduceMin", [likeness], to="least", axes=[1])], to="marker")


def _filled(graph: Graph, *, marker: str, stride: int) -> str:
    """(1, 1, H/s, W/s): how much of each cell the marker fills."""
    return graph.add(
        "AveragePool", [marker], to=f"filled{stride}", kernel_shape=[stride] * 2, strides=[stride] * 2
    )


def _ring() -> np.ndarray:
    """(1, 3, 3): a cell less a quarter of each of its neighbours, so that larger markers do not count."""
    kernel = np.full((1, 3, 3), -0.25, np.float32)
    kernel[0, 1, 1] = 1
    return kernel


def _constant(graph: Graph, source: str, *, values: np.ndarray, to: str) -> str:
    """(1, N, H/s, W/s): the same N values in every cell."""
    weights = np.zeros((len(values), 1, 1, 1), np.float32)
    return graph.add("Conv", [source, weights, values.astype(np.float32)], to=to)


def _rows(graph: Graph, source: str, *, to: str, size: int, batch: tuple[int, ...] = ()) -> str:
    """Rows of `size` values, cell by cell."""
    last = graph.add("Transpose", [source], to=f"{to}_last", perm=[0, 2, 3, 1])
    return graph.add("Reshape", [last, np.array([*batch, -1, size], np.int64)], to=to)


def _points_in_cells() -> np.ndarray:
    """(10,): the five points, in cells from the corner of the marker's own."""
    return (TEMPLATE / ALIGNED_PX * BOX_CELLS - 2).reshape(-1)
