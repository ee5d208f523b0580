"""The door for scripts: an exported folder, and whatever finds people and faces, as an engine.

from mcld.inference.open import open_engine

engine = open_engine("my-model")  # densepose=…, face_dir=… for models of real photographs
engine.picture("me.jpg", "pose.jpg").save("out.png")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from mcld.devices import pick_device
from mcld.inference.acceleration import PLAIN, Acceleration
from mcld.inference.engine import Engine
from mcld.inference.load import load_engine
from mcld.inference.photos.choose import FinderSources, finders_for
from mcld.types import Precision

AnyPath = str | os.PathLike[str]


def open_engine(
    model: AnyPath,
    *,
    densepose: AnyPath | None = None,  # DensePose's weights
    face_dir: AnyPath | None = None,  # insightface's folder, with models/<pack>/*.onnx; or
    yunet: AnyPath | None = None,  # OpenCV's face detector, and
    sface: AnyPath | None = None,  # its recogniser
    device: Literal["auto", "cpu", "cuda"] = "auto",
    dtype: Precision = "float32",
    acceleration: Acceleration = PLAIN,
) -> Engine:
    """The engine of a folder that `mcld export` wrote.

    Models of rendered people find people by networks that ship with the package; others need DensePose.
    Raises ConfigError and WeightsError, sentences for the user.
    """
    where = pick_device(device)
    sources = FinderSources(
        densepose_path=_path(densepose),
        face_dir=_path(face_dir),
        yunet_path=_path(yunet),
        sface_path=_path(sface),
        device=where,
        precision=dtype,
    )
    return load_engine(
        Path(model),
        finders_for=finders_for(sources),
        device=where,
        precision=dtype,
        acceleration=acceleration,
    )


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)
