"""Base weights are verified first; an error says which file, what was expected, where to get it."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mcld.conditions.encoders import load_image_encoder, load_vae
from mcld.config import ModelParams, Params, WeightsParams, parse_params
from mcld.data.manifest import read_manifest
from mcld.errors import ConfigError, WeightsError
from mcld.models import initialise_mcld
from mcld.models.base import load_base, model_config
from mcld.stages import weights
from mcld.stages.mapper import SerialMapper
from mcld.storage import read_json, sha256_of_file
from mcld.types import Report
from mcld.workspace import Workspace
from tests.stages.base_folders import (
    POSE_CHANNELS,
    as_pickle,
    old_attention_names,
    states_equal,
    tiny_clip,
    tiny_controlnet,
    tiny_encoder,
    tiny_unet,
    write_stable_diffusion,
)
from tests.stages.tiny_weights import write_tiny_weights
from tests.tiny_models import tiny_vae

DIFFUSERS_NAME = "diffusion_pytorch_model.safetensors"
BASE = WeightsParams(preset="sd15", base_dir="base")
SEPARATE = WeightsParams(
    preset="sd15",
    unet_dir="sd",
    vae_dir="sd/vae",
    image_encoder_dir="variations",
    controlnet_dir="controlnet",
)


@pytest.fixture(scope="module")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def workspace(tmp_path: Path, base_dir: Path) -> Workspace:
    """A workspace with the whole base in one folder."""
    shutil.copytree(base_dir, tmp_path / "base")
    return Workspace(root=tmp_path)


@pytest.fixture
def downloads(tmp_path: Path) -> Workspace:
    """A workspace with the base in several folders, as downloaded."""
    write_stable_diffusion(tmp_path / "sd")
    tiny_encoder().save_pretrained(tmp_path / "variations" / "image_encoder")
    tiny_controlnet().save_pretrained(tmp_path / "controlnet")
    return Workspace(root=tmp_path)


def run(workspace: Workspace, params: WeightsParams = BASE) -> Report:
    return weights.run(Params(weights=params), workspace=workspace, mapper=SerialMapper())


def changed(params: WeightsParams, **values: object) -> WeightsParams:
    return WeightsParams(**params.model_dump() | values)


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def fails(workspace: Workspace, message: str, params: WeightsParams = BASE) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        run(workspace, params)
    assert "\n" not in str(caught.value)
    assert not workspace.stage_dir("weights").exists()


def test_a_base_is_written_and_recorded_and_a_repeat_writes_nothing(workspace: Workspace) -> None:
    assert run(workspace).num_reused == 0
    parts = read_manifest(workspace.stage_dir("weights")).parts
    assert len(parts) == 8
    for part in parts:
        assert sha256_of_file(workspace.stage_dir("weights") / part.path) == part.sha256
    sources = read_json(workspace.stage_dir("weights") / "sources.json")
    assert isinstance(sources, dict)
    assert sources[f"vae/{DIFFUSERS_NAME}"] == sha256_of_file(workspace.root / "base/vae" / DIFFUSERS_NAME)
    assert run(workspace).num_reused == 8


def test_a_changed_source_is_said_and_converted_again(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    run(workspace)
    path = workspace.root / "base" / "vae" / DIFFUSERS_NAME
    before = sha256_of_file(path)
    state = load_file(path)
    save_file({name: value + 1 for name, value in state.items()}, path, metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING):
        assert run(workspace).num_reused == 0
    assert (
        f"vae/{DIFFUSERS_NAME}: sha256 is now {sha256_of_file(path)}; before it was {before}" in caplog.text
    )
    written = load_file(workspace.stage_dir("weights") / "vae" / DIFFUSERS_NAME)
    assert torch.equal(written["quant_conv.bias"], state["quant_conv.bias"] + 1)


def test_a_damaged_copy_is_made_again(workspace: Workspace) -> None:
    run(workspace)
    copy = workspace.stage_dir("weights") / "unet" / DIFFUSERS_NAME
    whole = copy.read_bytes()
    copy.write_bytes(b"damaged")
    assert run(workspace).num_reused == 0
    assert copy.read_bytes() == whole


def test_a_missing_file_is_named_with_where_it_comes_from(workspace: Workspace) -> None:
    (workspace.root / "base" / "image_encoder" / "model.safetensors").unlink()
    fails(workspace, r"image_encoder/model\.safetensors: missing.*sd-image-variations.*image_encoder_dir")
    (workspace.root / "base" / "pose_embedding" / "config.json").unlink()
    fails(workspace, r"image_encoder/model\.safetensors: missing")


def test_a_missing_folder_is_named_with_what_it_should_hold(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "base")
    fails(workspace, r"weights\.base_dir.*unet, vae, image_encoder, pose_embedding")


def test_a_flipped_byte_is_found_where_a_card_or_the_user_knows_the_hash(workspace: Workspace) -> None:
    base = workspace.root / "base"
    name = f"vae/{DIFFUSERS_NAME}"
    digest = sha256_of_file(base / name)
    (base / "card.json").write_text(json.dumps({"sha256": {name: digest}}))
    run(workspace)
    shutil.rmtree(workspace.stage_dir("weights"))
    whole = (base / name).read_bytes()
    (base / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    message = rf"vae/.*sha256 is .*, expected {digest} by card\.json or weights\.expected_sha256"
    fails(workspace, message)
    (base / "card.json").unlink()
    fails(workspace, message, changed(BASE, expected_sha256={name: digest}))
    fails(
        workspace,
        r"weights\.expected_sha256: 'vae/model\.bin' is no file that is read; those are unet/config\.json, ",
        changed(BASE, expected_sha256={"vae/model.bin": digest}),
    )


def test_the_tiny_base_that_ships_with_the_package_is_whole(tmp_path: Path) -> None:
    report = run(Workspace(root=tmp_path), WeightsParams(preset="tiny"))
    assert report.num_items == 8
    assert sum(part.num_bytes for part in read_manifest(report.output).parts) <= 16 * 2**20
    assert run(Workspace(root=tmp_path), WeightsParams(preset="tiny")).num_reused == 8


def assert_is_the_downloads_base(directory: Path) -> None:
    """The folder holds the very numbers of the tiny models, and a model starts from it."""
    base = load_base(directory)
    assert states_equal(base.unet, tiny_unet())
    assert states_equal(load_vae(directory / "vae"), tiny_vae())
    assert load_vae(directory / "vae").config.scaling_factor == 0.18215
    assert states_equal(load_image_encoder(directory / "image_encoder"), tiny_encoder())
    embedding = tiny_controlnet().controlnet_cond_embedding.state_dict()
    assert base.pose_channels == POSE_CHANNELS
    assert base.pose_embedding.keys() == embedding.keys()
    params = ModelParams(projector_dim=8, projector_depth=1, projector_heads=2, projector_head_dim=4)
    model = initialise_mcld(
        model_config(base, params=params, face_dim=6),
        base_unet=base.unet,
        pose_embedding=base.pose_embedding,
    )
    assert torch.equal(model.pose_guider.conv_in.weight, embedding["conv_in.weight"])
    assert torch.equal(model.denoiser.unet.conv_out.weight, tiny_unet().conv_out.weight)


def test_folders_as_downloaded_become_one_base_that_a_model_starts_from(downloads: Workspace) -> None:
    report = run(downloads, SEPARATE)
    assert report.num_items == 8
    assert_is_the_downloads_base(report.output)
    assert run(downloads, SEPARATE).num_reused == 8


def test_pickled_files_give_the_same_base_as_safetensors(downloads: Workspace) -> None:
    run(downloads, SEPARATE)
    first = {part.path: part.sha256 for part in read_manifest(downloads.stage_dir("weights")).parts}
    for folder in ("sd/unet", "sd/vae", "controlnet"):
        as_pickle(downloads.root / folder, name="diffusion_pytorch_model.bin")
    as_pickle(downloads.root / "variations" / "image_encoder", name="pytorch_model.bin")
    assert run(downloads, SEPARATE).num_reused == 0
    second = {part.path: part.sha256 for part in read_manifest(downloads.stage_dir("weights")).parts}
    assert first == second


def test_a_whole_clip_gives_its_vision_tower_and_projection(downloads: Workspace) -> None:
    clip = tiny_clip()
    clip.save_pretrained(downloads.root / "clip")
    report = run(downloads, changed(SEPARATE, image_encoder_dir="clip"))
    encoder = load_image_encoder(report.output / "image_encoder")
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = clip.eval().get_image_features(pixel_values=pixels)
        found = encoder(pixel_values=pixels).image_embeds
    torch.testing.assert_close(found, getattr(expected, "pooler_output", expected))
    assert encoder.config.projection_dim == 8
    assert not any("text" in name for name in load_file(report.output / "image_encoder/model.safetensors"))


def test_a_clip_of_an_older_transformers_is_read(downloads: Workspace) -> None:
    clip = tiny_clip()
    clip.save_pretrained(downloads.root / "clip")
    as_pickle(downloads.root / "clip", name="pytorch_model.bin")
    path = downloads.root / "clip" / "pytorch_model.bin"
    state = clip.state_dict() | {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    config = json.loads((path.parent / "config.json").read_text())
    config["vision_config"] |= {"bad_words_ids": None, "torch_dtype": None, "top_k": 50, "dropout": 0.0}
    (path.parent / "config.json").write_text(json.dumps(config))
    report = run(downloads, changed(SEPARATE, image_encoder_dir="clip"))
    encoder = load_image_encoder(report.output / "image_encoder").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in encoder.items())


def test_a_vae_of_an_older_diffusers_is_read(downloads: Workspace) -> None:
    folder = downloads.root / "sd" / "vae"
    config = json.loads((folder / "config.json").read_text())
    for key in ("scaling_factor", "shift_factor", "latents_mean", "force_upcast", "use_quant_conv"):
        del config[key]
    (folder / "config.json").write_text(json.dumps(config))
    save_file(old_attention_names(tiny_vae().state_dict()), folder / DIFFUSERS_NAME)
    assert_is_the_downloads_base(run(downloads, SEPARATE).output)


def test_half_precision_is_taken_only_where_there_is_no_full(downloads: Workspace) -> None:
    folder = downloads.root / "sd" / "unet"
    tiny_unet().half().save_pretrained(folder, variant="fp16")
    assert_is_the_downloads_base(run(downloads, SEPARATE).output)
    (folder / DIFFUSERS_NAME).unlink()
    output = run(downloads, SEPARATE).output
    assert load_file(output / "unet" / DIFFUSERS_NAME)["conv_in.weight"].dtype == torch.float16
    assert states_equal(load_base(output).unet, tiny_unet().half().float())


def test_shards_are_joined_and_a_missing_one_is_named(downloads: Workspace) -> None:
    folder = downloads.root / "sd" / "unet"
    shutil.rmtree(folder)
    tiny_unet().save_pretrained(folder, max_shard_size="100KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    output = run(downloads, SEPARATE).output
    assert_is_the_downloads_base(output)
    sources = read_json(output / "sources.json")
    assert isinstance(sources, dict)
    assert {f"unet/{path.name}" for path in shards} <= sources.keys()
    shutil.rmtree(output)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    whole = index.read_text()
    index.write_text(whole.replace(shards[0].name, f"../{shards[0].name}"))
    fails(downloads, r"index\.json: lists '\.\./.*', which is not a file beside it", SEPARATE)
    index.write_text(whole)
    shards[0].unlink()
    fails(downloads, rf"{shards[0].name}: missing, though .*index\.json lists it", SEPARATE)


def test_the_embedding_of_a_controlnet_may_come_alone(downloads: Workspace) -> None:
    (downloads.root / "alone").mkdir()
    config = {"block_out_channels": list(POSE_CHANNELS)}
    (downloads.root / "alone" / "config.json").write_text(json.dumps(config))
    state = tiny_controlnet().controlnet_cond_embedding.state_dict()
    torch.save(state, downloads.root / "alone" / "diffusion_pytorch_model.bin")
    assert_is_the_downloads_base(run(downloads, changed(SEPARATE, controlnet_dir="alone")).output)


def test_a_folder_of_its_own_goes_before_the_base(workspace: Workspace) -> None:
    torch.manual_seed(9)
    other = tiny_vae()
    other.quant_conv.bias.data.fill_(7.0)
    other.save_pretrained(workspace.root / "other")
    (workspace.root / "base" / "card.json").write_text(json.dumps({"sha256": {"vae/config.json": "x"}}))
    output = run(workspace, changed(BASE, vae_dir="other")).output
    assert load_vae(output / "vae").quant_conv.bias.unique().tolist() == [7.0]


def test_a_setting_that_names_the_wrong_folder_is_answered_with_what_belongs_there(
    downloads: Workspace,
) -> None:
    fails(
        downloads,
        r"weights\.unet_dir: no config\.json in .*nowhere, nor in its unet/; "
        r"expected there: folder unet/ of Stable Diffusion 1\.5 or of sd-image-variations",
        changed(SEPARATE, unet_dir="nowhere"),
    )
    fails(
        downloads,
        r"sd/vae/config\.json: its _class_name is 'AutoencoderKL', expected 'UNet2DConditionModel'",
        changed(SEPARATE, unet_dir="sd/vae"),
    )


ENCODER = "variations/image_encoder"
MISFITS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("sd/unet", {"use_linear_projection": True}, r"its use_linear_projection is True, but MCLD needs False"),
    ("sd/unet", {"in_channels": 9}, r"its out_channels is 4, but MCLD needs 9; use the UNet of Stable"),
    ("sd/unet", {"attention_head_dim": [1, 2, 2]}, r"not a UNet of Stable Diffusion 1\.5's kind"),
    ("sd/unet", {"cross_attention_dim": 16}, r"unet: does not fit .*expected \(\d+, 16\).*same place"),
    ("sd/vae", {"latent_channels": 8}, r"vae: does not fit this model"),
    ("sd/vae", {"shift_factor": 0.1}, r"its latents are shifted"),
    ("sd/vae", {"block_out_channels": [8, 8]}, r"one latent cell is 2 pixels wide, but MCLD needs 8"),
    (ENCODER, {"model_type": "dinov2"}, r"its model_type is 'dinov2', not 'clip_vision_model'"),
    (ENCODER, {"projection_dim": 4}, r"'visual_projection\.weight' has shape \(8, 16\), expected \(4, 16\)"),
    (ENCODER, {"hidden_size": 15}, r"not the settings of a CLIP image encoder \(.*15"),
    ("controlnet", {"conditioning_channels": 4}, r"has 4 input channels and the widths .*ControlNet-seg"),
    ("controlnet", {"conditioning_embedding_out_channels": [4, 8]}, r"the widths \[4, 8\], but MCLD needs"),
    ("controlnet", {"conditioning_embedding_out_channels": [4, 4, 8, 9]}, r"controlnet: does not fit this"),
)


@pytest.mark.parametrize(("place", "values", "message"), MISFITS)
def test_settings_that_do_not_fit_are_named_before_anything_is_written(
    place: str, values: dict[str, Any], message: str, downloads: Workspace
) -> None:
    change_json(downloads.root / place / "config.json", **values)
    fails(downloads, message, SEPARATE)


def test_parts_that_do_not_fit_each_other_are_named(downloads: Workspace) -> None:
    shutil.rmtree(downloads.root / "sd" / "unet")
    tiny_unet(cross_attention_dim=16).save_pretrained(downloads.root / "sd" / "unet")
    fails(
        downloads,
        r"image_encoder/config\.json: its projection_dim is 8, but cross_attention_dim of .* is 16",
        SEPARATE,
    )
    shutil.rmtree(downloads.root / "sd" / "unet")
    tiny_unet(in_channels=8, out_channels=8).save_pretrained(downloads.root / "sd" / "unet")
    fails(downloads, r"vae/config\.json: its latent_channels is 4, but in_channels of .* is 8", SEPARATE)


def test_a_file_that_is_none_is_told_apart(downloads: Workspace) -> None:
    path = downloads.root / "sd" / "unet" / DIFFUSERS_NAME
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    fails(downloads, r"unet/.*is a Git LFS pointer, not the weights; run 'git lfs pull'", SEPARATE)
    path.unlink()
    torch.save({"a": WeightsError}, path.with_suffix(".bin"))
    fails(
        downloads, r"unet/.*\.bin: its pickle asks for 'mcld\.errors\.WeightsError'.*not executed", SEPARATE
    )


def test_a_preset_with_too_few_folders_names_those_that_are_missing() -> None:
    with pytest.raises(
        ConfigError, match=r"weights\.base_dir: needed by .*each folder apart \(vae_dir, controlnet_dir\)"
    ):
        parse_params(
            {"weights": {"preset": "sd15", "unet_dir": "a", "image_encoder_dir": "b"}}, place="params.yaml"
        )
    with pytest.raises(ConfigError, match=r"expected_sha256"):
        parse_params({"weights": {"expected_sha256": {"vae/config.json": "abc"}}}, place="params.yaml")


def test_manifests_hold_no_folder_of_this_machine(downloads: Workspace) -> None:
    manifest = read_manifest(run(downloads, SEPARATE).output)
    assert str(downloads.root) not in json.dumps(dataclasses.asdict(manifest))
    assert manifest.settings == {"preset": "sd15"}
