"""Params: one frozen section per stage, checked before any work. The sole reader of params.yaml.

A section names everything that shapes its stage's output and nothing else; what only shapes speed is in
`runtime`.
"""

from mcld.config.conditions import (
    SMPL_PART_SIZE_PX,
    DenseposeParams,
    FaceParams,
    LatentsParams,
    TextureParams,
)
from mcld.config.data import BASE_FOLDERS, DatasetParams, ShardsParams, WeightsParams
from mcld.config.model import (
    DiffusionParams,
    EvaluateParams,
    GenerateParams,
    ModelParams,
    ProbeParams,
    ReportParams,
    TrainParams,
)
from mcld.config.params import (
    PARAMS_PATH,
    Params,
    RuntimeParams,
    load_params,
    num_workers,
    parse_params,
    read_raw_params,
)
from mcld.config.section import VAE_FACTOR, Section

__all__ = [
    "BASE_FOLDERS",
    "PARAMS_PATH",
    "SMPL_PART_SIZE_PX",
    "VAE_FACTOR",
    "DatasetParams",
    "DenseposeParams",
    "DiffusionParams",
    "EvaluateParams",
    "FaceParams",
    "GenerateParams",
    "LatentsParams",
    "ModelParams",
    "Params",
    "ProbeParams",
    "ReportParams",
    "RuntimeParams",
    "Section",
    "ShardsParams",
    "TextureParams",
    "TrainParams",
    "WeightsParams",
    "load_params",
    "num_workers",
    "parse_params",
    "read_raw_params",
]
