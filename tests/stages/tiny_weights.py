"""Base weights for tests: the real classes at the smallest sizes that fit together, seeded and untrained."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from mcld.config import (
    DiffusionParams,
    GenerateParams,
    LatentsParams,
    ModelParams,
    Params,
    TrainParams,
    WeightsParams,
)
from mcld.storage import write_json
from mcld.training.tiny_base.image_encoder import build_image_encoder
from mcld.training.tiny_base.unet import PosedUNet, UNetSettings, base_model_config
from tests.stages.tiny_pipeline import PARAMS
from tests.tiny_models import LATENT_CHANNELS, tiny_vae

UNET = UNetSettings(
    block_out_channels=(16, 16),
    attention_head_dim=2,
    cross_attention_dim=8,
    norm_num_groups=8,
    pose_channels=(4, 4, 8, 8),
)

MODEL_PARAMS = PARAMS.model_copy(
    update={
        "weights": WeightsParams(preset="sd15", base_dir="base"),
        "latents": LatentsParams(height_px=32, width_px=24, texture_height_px=24, texture_width_px=16),
        "model": ModelParams(
            projector_dim=8, projector_depth=1, projector_heads=2, projector_head_dim=4, num_face_tokens=4
        ),
        "diffusion": DiffusionParams(),
        "train": TrainParams(
            steps=4,
            batch_size=4,
            warmup_steps=1,
            checkpoint_every_steps=2,
            sample_every_steps=2,
            num_sample_pairs=2,
        ),
        "generate": GenerateParams(
            num_pairs=5, num_inference_steps=2, height_px=64, width_px=48, batch_size=2
        ),
    }
)


def write_tiny_weights(directory: Path) -> Path:
    """A folder as `weights.base_dir` wants it."""
    tiny_vae().save_pretrained(directory / "vae")
    posed = PosedUNet(base_model_config(UNET, latent_channels=LATENT_CHANNELS))
    posed.stock_unet().save_pretrained(directory / "unet")
    build_image_encoder(seed=0, projection_dim=UNET.cross_attention_dim).save_pretrained(
        directory / "image_encoder"
    )
    embedding = directory / "pose_embedding"
    embedding.mkdir()
    state = {name: value.contiguous() for name, value in posed.pose_embedding.state_dict().items()}
    save_file(state, embedding / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    write_json(embedding / "config.json", value={"block_out_channels": list(UNET.pose_channels)})
    return directory


def params_with(params: Params, *, section: str, **values: object) -> Params:
    """The params with some values of one section changed."""
    changed = getattr(params, section).model_copy(update=values)
    return params.model_copy(update={section: changed})
