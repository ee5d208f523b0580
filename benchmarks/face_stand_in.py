"""A pack with random weights and about as many products as antelopev2's two networks; it sees nothing.

The detector takes 13.4 thousand million products an image of 640 x 640 (SCRFD-10GF: 10 at 640 x 480), the
recogniser 11.5 a face (a ResNet of a hundred layers: about 12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Channels of each level, and how many 3 x 3 convolutions follow the one that halves the sides.
DETECTOR_LEVELS = ((32, 0), (64, 5), (128, 5), (256, 2), (256, 0))
RECOGNISER_LEVELS = ((64, 6), (128, 26), (256, 60), (512, 6))
STRIDES = (8, 16, 32)
EMBEDDING_DIM = 512
Shape = Sequence[str | int]


def write_stand_in(models_dir: Path, *, pack: str) -> None:
    """Write both networks into `<models_dir>/models/<pack>/`."""
    folder = models_dir / "models" / pack
    folder.mkdir(parents=True)
    _write_detector(folder / "detector.onnx")
    _write_recogniser(folder / "recogniser.onnx")


class _Network:
    """Nodes and random weights, of which the size of what goes through hardly depends."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)

    def level(self, source: str, *, channels: tuple[int, int], num_layers: int) -> str:
        """Halve the sides, then `num_layers` convolutions; returns the name of what they give."""
        features = self._layer(source, channels=channels, stride=2)
        for _ in range(num_layers):
            features = self._layer(features, channels=(channels[1], channels[1]), stride=1)
        return features

    def rows(self, source: str, *, channels: int, size: int, to: str) -> None:
        """Two rows of `size` numbers near zero for every cell."""
        self._convolve(source, scale=1e-4, shape=(2 * size, channels, 3, 3), stride=1, to=f"{to}_map")
        self._add("Transpose", [f"{to}_map"], to=f"{to}_last", perm=[0, 2, 3, 1])
        self._add("Reshape", [f"{to}_last", self._weight(np.array([-1, size]), f"{to}_shape")], to=to)

    def vector(self, source: str, *, sizes: tuple[int, int], to: str) -> None:
        """Everything to one vector of the second of two sizes."""
        weights = self._rng.normal(0, sizes[0] ** -0.5, sizes).astype(np.float32)
        self._add("Flatten", [source], to=f"{to}_flat")
        self._add("MatMul", [f"{to}_flat", self._weight(weights, f"{to}_weights")], to=to)

    def save(self, path: Path, *, input_shape: Shape, outputs: Mapping[str, Shape]) -> None:
        """Write the network, whose input is called `input`."""
        graph = helper.make_graph(
            self._nodes,
            "stand-in",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, input_shape)],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save_model(model, str(path))

    def _layer(self, source: str, *, channels: tuple[int, int], stride: int) -> str:
        name = f"layer{len(self._nodes)}"
        scale = (2 / (9 * channels[0])) ** 0.5  # He et al. 2015
        shape = (channels[1], channels[0], 3, 3)
        self._convolve(source, scale=scale, shape=shape, stride=stride, to=f"{name}_sums")
        self._add("Relu", [f"{name}_sums"], to=name)
        return name

    def _convolve(self, source: str, *, scale: float, shape: tuple[int, ...], stride: int, to: str) -> None:
        weights = self._rng.normal(0, scale, shape).astype(np.float32)
        inputs = [source, self._weight(weights, f"{to}_weights")]
        self._add("Conv", inputs, to=to, strides=[stride] * 2, pads=[1] * 4)

    def _add(self, kind: str, inputs: list[str], *, to: str, **attributes: list[int]) -> None:
        node = helper.make_node(kind, inputs, [to], name=to)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(node)

    def _weight(self, values: np.ndarray, name: str) -> str:
        self._weights.append(numpy_helper.from_array(values, name))
        return name


def _write_detector(path: Path) -> None:
    network = _Network()
    features, channels, levels = "input", 3, []
    for width, num_layers in DETECTOR_LEVELS:
        features = network.level(features, channels=(channels, width), num_layers=num_layers)
        channels = width
        levels.append((features, width))
    outputs: dict[str, Shape] = {}
    for name, size in (("score", 1), ("box", 4), ("points", 10)):
        for stride, (source, width) in zip(STRIDES, levels[2:], strict=True):
            network.rows(source, channels=width, size=size, to=f"{name}{stride}")
            outputs[f"{name}{stride}"] = ("rows", size)
    network.save(path, input_shape=(1, 3, "height", "width"), outputs=outputs)


def _write_recogniser(path: Path) -> None:
    network = _Network()
    features, channels = "input", 3
    for width, num_layers in RECOGNISER_LEVELS:
        features = network.level(features, channels=(channels, width), num_layers=num_layers)
        channels = width
    network.vector(features, sizes=(channels * 7 * 7, EMBEDDING_DIM), to="embedding")
    shape = ("batch", 3, 112, 112)
    network.save(path, input_shape=shape, outputs={"embedding": ("batch", EMBEDDING_DIM)})
