"""The pipeline object: to a folder and back, rows on their own, diffusers' schedulers and conventions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image
from torch import Tensor

from mcld.errors import ConfigError, DataError, WeightsError
from mcld.inference.pipeline import MCLDPipeline, MCLDPipelineOutput
from mcld.models import MCLD
from mcld.training.tiny_base.image_encoder import build_image_encoder
from mcld.types import Conditions
from tests.inference.tiny_pipeline import one_row, tiny_conditions, tiny_mcld, tiny_pipeline
from tests.tiny_models import TINY_CONFIG, tiny_vae

NUM_STEPS = 4
DDIM = DDIMScheduler()


@pytest.fixture
def pipeline() -> MCLDPipeline:
    return tiny_pipeline()


def latents(pipeline: MCLDPipeline, conditions: Conditions, **options: Any) -> Tensor:
    usual: dict[str, Any] = {"num_inference_steps": NUM_STEPS, "guidance_scale": 2.0, "output_type": "latent"}
    output = pipeline(conditions, **usual | options)
    assert isinstance(output, MCLDPipelineOutput)
    assert isinstance(output.images, Tensor)
    return output.images


def with_scheduler(pipeline: MCLDPipeline, kind: type, **changes: Any) -> MCLDPipeline:
    """The same pipeline with another scheduler, made as users of diffusers do."""
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **changes)  # type: ignore[attr-defined]
    return pipeline


def settings(scheduler: DDIMScheduler) -> dict[str, Any]:
    return {name: value for name, value in scheduler.config.items() if not name.startswith("_")}


def equal_states(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_saved_pipeline_comes_back_bit_for_bit(tmp_path: Path) -> None:
    encoder = build_image_encoder(seed=0, projection_dim=TINY_CONFIG.cross_attention_dim)
    pipeline = MCLDPipeline(
        model=tiny_mcld(),
        vae=tiny_vae(),
        scheduler=tiny_pipeline().scheduler,
        image_encoder=encoder,
        training={"steps": 3},
    )
    pipeline.save_pretrained(tmp_path / "saved")
    again = MCLDPipeline.from_pretrained(tmp_path / "saved")
    for name in ("model", "vae", "image_encoder"):
        assert equal_states(getattr(pipeline, name), getattr(again, name)), name
    assert settings(again.scheduler) == settings(pipeline.scheduler)
    assert again.config.training == {"steps": 3}
    conditions = tiny_conditions(2)
    assert torch.equal(
        latents(pipeline, conditions, seeds=[1, 2], output_type="pt"),
        latents(again, conditions, seeds=[1, 2], output_type="pt"),
    )


def test_the_folder_is_laid_out_as_diffusers_users_expect(pipeline: MCLDPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "saved")
    assert {str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").glob("*/*.json")} == {
        "model/model_index.json",
        "scheduler/scheduler_config.json",
        "vae/config.json",
    }
    assert (tmp_path / "saved" / "README.md").is_file()
    assert (tmp_path / "saved" / "model_index.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_saving_over_an_earlier_pipeline_replaces_it(pipeline: MCLDPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    with torch.no_grad():
        pipeline.model.pose_guider.conv_in.bias.add_(1.0)
    pipeline.save_pretrained(tmp_path)
    assert equal_states(MCLDPipeline.from_pretrained(tmp_path).model, pipeline.model)


def test_a_folder_with_other_files_is_left_alone(pipeline: MCLDPipeline, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"holds 'thesis.tex', which is not a saved pipeline's"):
        pipeline.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "fp16"}, "variant: 'fp16', but a saved MCLD has one set of weights"),
        ({"use_safetensors": False}, "use_safetensors: False would read pickles"),
        ({"device_map": "cuda"}, "device_map"),
    ],
)
def test_loading_options_without_a_meaning_are_refused(
    pipeline: MCLDPipeline, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    pipeline.save_pretrained(tmp_path)
    if "device_map" in options:
        with pytest.raises(ConfigError, match=message):
            type(pipeline.model).from_pretrained(tmp_path / "model", **options)
        return
    with pytest.raises(ConfigError, match=message):
        MCLDPipeline.from_pretrained(tmp_path, **options)


def test_the_pipeline_shares_the_weights_of_the_model_it_is_given() -> None:
    model = tiny_mcld()
    pipeline = MCLDPipeline(model=model, vae=tiny_vae(), scheduler=tiny_pipeline().scheduler)
    assert isinstance(pipeline.model, MCLD)
    assert pipeline.model.denoiser is model.denoiser
    assert not pipeline.model.training


@pytest.mark.parametrize(
    ("kind", "changes", "eta"),
    [
        (DDIMScheduler, {}, 0.0),
        (DPMSolverMultistepScheduler, {}, 0.0),
        (UniPCMultistepScheduler, {}, 0.0),
        (EulerDiscreteScheduler, {}, 0.0),
        (DDIMScheduler, {}, 1.0),
        (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}, 0.0),
    ],
    ids=["DDIM", "DPM-Solver++", "UniPC", "Euler", "DDIM eta 1", "DPM-Solver++ SDE"],
)
def test_a_batch_equals_its_rows_and_no_call_depends_on_the_one_before(
    pipeline: MCLDPipeline, kind: type, changes: dict[str, Any], eta: float
) -> None:
    pipeline = with_scheduler(pipeline, kind, **changes)
    conditions, seeds = tiny_conditions(3), [7, 8, 9]
    together = latents(pipeline, conditions, seeds=seeds, eta=eta)
    assert bool(together.isfinite().all())
    for row, seed in enumerate(seeds):
        alone = latents(pipeline, one_row(conditions, row=row), seeds=[seed], eta=eta)
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=1e-5)
    latents(pipeline, conditions, seeds=[0, 0, 0], num_inference_steps=3)
    assert torch.equal(latents(pipeline, conditions, seeds=seeds, eta=eta), together)


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_with_many_steps_the_solvers_agree_with_ddim(pipeline: MCLDPipeline, kind: type) -> None:
    conditions, options = tiny_conditions(2), {"seeds": [1, 2], "num_inference_steps": 100}
    expected = latents(pipeline, conditions, **options)
    found = latents(with_scheduler(pipeline, kind), conditions, **options)
    assert float((found - expected).norm() / expected.norm()) < 0.05


def test_seeds_are_cpu_generators(pipeline: MCLDPipeline) -> None:
    conditions = tiny_conditions(2)
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    assert torch.equal(
        latents(pipeline, conditions, seeds=[3, 4]), latents(pipeline, conditions, generator=generators)
    )


def test_one_generator_serves_the_batch_and_moves_on(pipeline: MCLDPipeline) -> None:
    conditions, generator = tiny_conditions(2), torch.Generator().manual_seed(3)
    first = latents(pipeline, conditions, generator=generator)
    assert not torch.equal(first, latents(pipeline, conditions, generator=generator))
    assert torch.equal(first, latents(pipeline, conditions, generator=torch.Generator().manual_seed(3)))


def test_without_seeds_calls_differ_until_the_global_seed_is_set(pipeline: MCLDPipeline) -> None:
    conditions = tiny_conditions(1)
    torch.manual_seed(5)
    first, second = latents(pipeline, conditions), latents(pipeline, conditions)
    torch.manual_seed(5)
    assert not torch.equal(first, second)
    assert torch.equal(first, latents(pipeline, conditions))


def test_output_types_show_the_same_picture(pipeline: MCLDPipeline) -> None:
    conditions = tiny_conditions(2)
    found = {
        kind: pipeline(conditions, seeds=[1, 2], num_inference_steps=2, output_type=kind, return_dict=False)[
            0
        ]
        for kind in ("pil", "np", "pt", "latent")
    }
    assert found["pt"].shape == (2, 3, 32, 24)
    assert found["latent"].shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(found["np"], found["pt"].permute(0, 2, 3, 1).numpy())
    assert isinstance(found["pil"][0], Image.Image)
    for image, values in zip(found["pil"], found["np"], strict=True):
        np.testing.assert_array_equal(np.asarray(image), (255 * values).round().astype(np.uint8))


def test_the_callback_sees_every_step_and_may_change_the_latents(pipeline: MCLDPipeline) -> None:
    seen: list[tuple[int, int]] = []

    def zero_at_the_end(
        _: MCLDPipeline, index: int, timestep: Tensor, values: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        seen.append((index, int(timestep)))
        return {"latents": torch.zeros_like(values["latents"])} if index == NUM_STEPS - 1 else values

    found = latents(pipeline, tiny_conditions(2), seeds=[1, 2], callback_on_step_end=zero_at_the_end)
    assert seen == [(0, 999), (1, 749), (2, 499), (3, 249)]
    assert not found.any()


def test_a_callback_that_changes_the_shape_is_refused(pipeline: MCLDPipeline) -> None:
    with pytest.raises(
        DataError, match=r"latents of shape \(1, 4, 4, 3\), but they must keep \(2, 4, 4, 3\)"
    ):
        latents(
            pipeline,
            tiny_conditions(2),
            callback_on_step_end=lambda pipe, index, timestep, values: {"latents": values["latents"][:1]},
        )


def test_an_interrupted_call_gives_what_there_is_and_the_next_one_is_whole(pipeline: MCLDPipeline) -> None:
    after: list[Tensor] = []

    def interrupt(pipe: MCLDPipeline, index: int, timestep: Tensor, values: dict[str, Tensor]) -> None:
        after.append(values["latents"])
        pipe._interrupt = index == 1

    conditions = tiny_conditions(1)
    found = latents(pipeline, conditions, seeds=[1], callback_on_step_end=interrupt)
    assert len(after) == 2
    assert torch.equal(found, after[1])
    whole = latents(pipeline, conditions, seeds=[1])
    assert not torch.equal(found, whole)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_half_precision_stays_near_single(
    pipeline: MCLDPipeline, tmp_path: Path, dtype: torch.dtype, tolerance: float
) -> None:
    conditions = tiny_conditions(2)
    expected = latents(pipeline, conditions, seeds=[1, 2])
    pictures = latents(pipeline, conditions, seeds=[1, 2], output_type="pt")
    pipeline.save_pretrained(tmp_path)
    half = MCLDPipeline.from_pretrained(tmp_path, dtype=dtype)
    assert {half.model.dtype, half.vae.dtype} == {dtype}
    found = latents(half, conditions, seeds=[1, 2])
    assert found.dtype == torch.float32  # the scheduler's arithmetic
    assert float((found - expected).norm() / expected.norm()) < tolerance
    difference = latents(half, conditions, seeds=[1, 2], output_type="pt") - pictures
    assert float(difference.abs().max()) < tolerance


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
)
def test_an_offloaded_pipeline_gives_the_same(pipeline: MCLDPipeline, device: str) -> None:
    conditions = tiny_conditions(2)
    expected = latents(pipeline, conditions, seeds=[1, 2], output_type="pt")
    pipeline.enable_model_cpu_offload(device=device)
    found = latents(pipeline, conditions, seeds=[1, 2], output_type="pt", attention_maps_at=[1])
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=1e-2)  # a GPU rounds differently
    assert next(pipeline.model.parameters()).device.type == "cpu"


def test_attention_maps_come_for_the_steps_asked_for_and_change_no_picture(pipeline: MCLDPipeline) -> None:
    conditions = tiny_conditions(2)
    output = pipeline(
        conditions,
        seeds=[1, 2],
        num_inference_steps=NUM_STEPS,
        guidance_scale=2.0,
        output_type="latent",
        attention_maps_at=[0, 3],
    )
    assert isinstance(output, MCLDPipelineOutput)
    assert output.attention_maps is not None
    assert list(output.attention_maps) == [0, 3]
    for maps in output.attention_maps.values():
        assert list(maps) == ["reference", "image", "texture", "face"]
        assert all(value.shape == (2, 4, 3) for value in maps.values())
        assert 0 < float(maps["reference"].min()) <= float(maps["reference"].max()) < 1
        assert float(maps["face"][0].min()) > 0
        assert not maps["face"][1].any()  # that row has no face
    assert isinstance(output.images, Tensor)
    assert torch.equal(output.images, latents(pipeline, conditions, seeds=[1, 2]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_scale": 0.5}, "guidance_scale: 0.5 is below 1"),
        ({"guidance_scale": float("nan")}, "guidance_scale: nan is below 1"),
        ({"guidance_scale": float("inf")}, "guidance_scale: inf is not finite"),
        ({"num_inference_steps": 0}, r"num_steps: 0 is outside 1\.\.1000"),
        ({"num_inference_steps": 1001}, r"num_steps: 1001 is outside 1\.\.1000"),
        ({"eta": 1.5}, r"eta: 1.5 is outside 0\.\.1"),
        ({"output_type": "jpeg"}, "output_type: 'jpeg' is unknown; choose one of pil, np, pt, latent"),
        ({"seeds": [1, 2, 3]}, "seeds: 3 of them, but the batch has 2 rows"),
        ({"seeds": [1]}, "seeds: 1 of them, but the batch has 2 rows"),
        ({"seeds": 1}, "seeds: 1, but the batch has 2 rows; give a list"),
        ({"seeds": [1, -2]}, r"seeds: -2 is outside 0\.\."),
        ({"generator": [torch.Generator()]}, "generator: a list of 1, but the batch has 2 rows"),
        ({"generator": torch.Generator(), "seeds": [1, 2]}, "generator and seeds: both are given"),
        ({"attention_maps_at": [4]}, r"attention_maps_at: 4 is outside 0\.\.3"),
    ],
)
def test_calls_that_make_no_sense_are_refused(
    pipeline: MCLDPipeline, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        latents(pipeline, tiny_conditions(2), **options)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_embedding", torch.full((2, 8), torch.nan), "image_embedding: row 0 holds nan"),
        ("target_iuv", torch.full((2, 3, 32, 24), 25, dtype=torch.uint8), "row 0 has part id 25, above 24"),
        (
            "texture_embedding",
            torch.zeros(2, 9),
            "texture_embedding: width 9, but this model was built for 8",
        ),
    ],
)
def test_conditions_are_checked_before_any_work(
    pipeline: MCLDPipeline, field: str, value: Tensor, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        latents(pipeline, dataclasses.replace(tiny_conditions(2), **{field: value}))


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (DDIMScheduler(), "prediction_type is 'epsilon'; MCLD predicts v, set 'v_prediction'"),
        (DPMSolverMultistepScheduler(prediction_type="sample"), "prediction_type is 'sample'"),
        (
            FlowMatchEulerDiscreteScheduler.from_config(tiny_pipeline().scheduler.config),
            "FlowMatchEulerDiscreteScheduler has no prediction_type; MCLD predicts v, use one that can",
        ),
    ],
)
def test_a_scheduler_that_does_not_predict_v_is_refused(
    pipeline: MCLDPipeline, scheduler: Any, message: str
) -> None:
    pipeline.scheduler = scheduler
    with pytest.raises(ConfigError, match=message):
        latents(pipeline, tiny_conditions(1))


def test_eta_is_refused_where_it_would_be_ignored(pipeline: MCLDPipeline) -> None:
    with pytest.raises(ConfigError, match=r"eta: 0.5, but UniPCMultistepScheduler has no eta"):
        latents(with_scheduler(pipeline, UniPCMultistepScheduler), tiny_conditions(1), eta=0.5)


def test_parts_of_different_models_are_refused() -> None:
    wide = dataclasses.replace(TINY_CONFIG, latent_channels=8)
    with pytest.raises(WeightsError, match="vae: 4 latent channels, but the model has 8"):
        MCLDPipeline(model=MCLD(wide), vae=tiny_vae(), scheduler=DDIM)
    coarse = dataclasses.replace(TINY_CONFIG, pose_channels=(4, 4, 8, 8, 8))
    with pytest.raises(WeightsError, match="vae: 8 pixels a latent cell, but the model's PoseGuider has 16"):
        MCLDPipeline(model=MCLD(coarse), vae=tiny_vae(), scheduler=DDIM)
    encoder = build_image_encoder(seed=0, projection_dim=16)
    with pytest.raises(
        WeightsError, match="image_encoder: embeddings of width 16, but the model was built for 8"
    ):
        MCLDPipeline(model=tiny_mcld(), vae=tiny_vae(), scheduler=DDIM, image_encoder=encoder)
