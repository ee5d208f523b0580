"""The authors' four files become a model of ours and back, bit for bit; what does not fit is named first."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mcld.errors import WeightsError
from mcld.models import MCLD, ModelConfig, authors_states, load_mcld, save_mcld
from mcld.models.authors import (
    AUTHORS_CONFIG,
    FILES,
    RECORD_NAME,
    differences,
    export_authors,
    import_authors,
)
from mcld.models.weights import empty_model
from mcld.parity.golden import build_model, read_golden
from mcld.storage import read_json, sha256_of_file
from tests.golden import golden_dir, read_golden_json
from tests.models.tiny import TINY, tiny_conditions, tiny_latent, tiny_model

AUTHORS_TINY = dataclasses.replace(TINY, iuv_channel_order="vui", reference_precision="float16")


def authors_model(**changes: Any) -> MCLD:
    return tiny_model(iuv_channel_order="vui", reference_precision="float16", **changes)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder as the authors release it, of a tiny model."""
    return write_release(tmp_path / "release", model=authors_model())


def write_release(
    directory: Path, *, model: MCLD, suffix: str = ".pth", write: Callable[..., None] = torch.save
) -> Path:
    directory.mkdir(exist_ok=True)
    for name, state in authors_states(model).items():
        write(state, directory / f"{name}{suffix}")
    return directory


def assert_equal(first: MCLD, second: MCLD) -> None:
    theirs = second.state_dict()
    assert first.state_dict().keys() == theirs.keys()
    for name, value in first.state_dict().items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name


def predicted(model: MCLD) -> Tensor:
    with torch.no_grad():
        v: Tensor = model.eval()(
            tiny_latent(2), timestep_B=torch.tensor([7, 900]), conditions=tiny_conditions(2)
        )
    return v


@pytest.mark.parametrize("suffix", [".pth", "-60000.pth", "_60000.pth", ".bin", "-7.safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_release_becomes_a_model_with_the_authors_settings(
    suffix: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = authors_model().to(dtype)
    write = save_file if suffix.endswith("safetensors") else torch.save
    release = write_release(tmp_path / "release", model=model, suffix=suffix, write=write)
    record = import_authors(release, out_dir=tmp_path / "model", config=TINY)
    loaded = load_mcld(tmp_path / "model")
    assert_equal(loaded, model)
    assert loaded.config == dataclasses.replace(TINY, iuv_channel_order="vui")
    assert read_json(tmp_path / "model" / RECORD_NAME) == record
    assert list(record) == list(FILES)
    assert record["pose_guider"] == {
        "name": f"pose_guider{suffix}",
        "num_bytes": (release / f"pose_guider{suffix}").stat().st_size,
        "sha256": sha256_of_file(release / f"pose_guider{suffix}"),
    }


def test_the_projector_may_have_either_name_but_not_both(release: Path, tmp_path: Path) -> None:
    (release / "image_proj_model.pth").rename(release / "image_projector.pth")
    import_authors(release, out_dir=tmp_path / "model", config=TINY)
    assert_equal(load_mcld(tmp_path / "model"), authors_model())
    shutil.copy(release / "image_projector.pth", release / "image_proj_model.pth")
    with pytest.raises(
        WeightsError, match=r"image_proj_model\.pth and image_projector\.pth are the same part"
    ):
        import_authors(release, out_dir=tmp_path / "other", config=TINY)


def test_one_of_several_steps_must_be_chosen(tmp_path: Path) -> None:
    early, late = authors_model(seed=1), authors_model(seed=2)
    write_release(tmp_path / "release", model=early, suffix="-500.pth")
    release = write_release(tmp_path / "release", model=late, suffix="-60000.pth")
    with pytest.raises(WeightsError, match=r"files of several steps \(500, 60000\); choose one with --step"):
        import_authors(release, out_dir=tmp_path / "model", config=TINY)
    import_authors(release, out_dir=tmp_path / "model", config=TINY, step=500)
    assert_equal(load_mcld(tmp_path / "model"), early)
    (release / "reference_unet-60000.pth").rename(release / "reference_unet.pth")
    with pytest.raises(WeightsError, match=r"several steps \(none, 500, 60000\)"):
        import_authors(release, out_dir=tmp_path / "model", config=TINY)
    with pytest.raises(WeightsError, match=r"reference_unet-60000\.pth: missing"):
        import_authors(release, out_dir=tmp_path / "model", config=TINY, step=60000)
    assert_equal(load_mcld(tmp_path / "model"), early)


def test_a_missing_file_is_named_with_where_it_comes_from(release: Path, tmp_path: Path) -> None:
    (release / "image_proj_model.pth").unlink()
    message = (
        r"release/image_proj_model\.pth \(or image_projector\): missing; the four files are denoising_unet, "
        r"reference_unet, pose_guider, image_proj_model, .*the authors' released weights"
    )
    with pytest.raises(WeightsError, match=message):
        import_authors(release, out_dir=tmp_path / "model", config=TINY)
    with pytest.raises(
        WeightsError, match=r"nowhere: not a folder; give the folder of the authors' released"
    ):
        import_authors(tmp_path / "nowhere", out_dir=tmp_path / "model", config=TINY)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv_in.weight"), r"'conv_in\.weight' is missing"),
        (lambda state: state.update(extra=torch.ones(1)), r"'extra' is unexpected"),
        (
            lambda state: state.update({"conv_in.bias": torch.ones(3)}),
            r"'conv_in\.bias' has shape \(3,\), expected \(4,\)",
        ),
        (
            lambda state: state.update({"conv_in.bias": torch.ones(4, dtype=torch.int32)}),
            r"'conv_in\.bias' holds torch\.int32, expected floating-point numbers",
        ),
    ],
)
def test_a_wrong_name_or_shape_is_named_before_anything_is_written(
    change: Callable[[dict[str, Tensor]], object], message: str, release: Path, tmp_path: Path
) -> None:
    state = authors_states(authors_model())["pose_guider"]
    change(state)
    torch.save(state, release / "pose_guider.pth")
    with pytest.raises(WeightsError, match=rf"pose_guider\.pth: does not fit this model: {message}"):
        import_authors(release, out_dir=tmp_path / "model", config=TINY)
    assert not (tmp_path / "model").exists()


def test_full_size_files_are_checked_against_the_full_size_model(release: Path, tmp_path: Path) -> None:
    expected = read_golden_json(golden_dir("model") / "keys_full.json")
    states = authors_states(empty_model(AUTHORS_CONFIG))
    assert sorted(states) == sorted(FILES)
    for name, state in states.items():
        assert {key: list(value.shape) for key, value in state.items()} == expected[name], name
    message = r"denoising_unet\.pth: does not fit this model: .* and \d+ more; use weights made for the same"
    with pytest.raises(WeightsError, match=message):
        import_authors(release, out_dir=tmp_path / "model")


def test_the_golden_weights_of_the_authors_code_predict_the_same_after_import_and_export(
    tmp_path: Path,
) -> None:
    model = build_model(read_golden(golden_dir("model")), reference_precision="float16")
    write_release(tmp_path / "release", model=model)
    import_authors(tmp_path / "release", out_dir=tmp_path / "model", config=model.config)
    assert_equal(load_mcld(tmp_path / "model"), model)
    assert export_authors(tmp_path / "model", out_dir=tmp_path / "again")[:-1] == ()
    for name, state in authors_states(model).items():
        again = torch.load(tmp_path / "again" / f"{name}.pth", weights_only=True)
        assert list(again) == list(state)
        assert all(torch.equal(again[key], value) for key, value in state.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_exported_model_comes_back_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    model = authors_model().to(dtype)
    save_mcld(model, directory=tmp_path / "model")
    export_authors(tmp_path / "model", out_dir=tmp_path / "release")
    assert sorted(path.name for path in (tmp_path / "release").iterdir()) == sorted(f"{n}.pth" for n in FILES)
    import_authors(tmp_path / "release", out_dir=tmp_path / "again", config=AUTHORS_TINY)
    again = load_mcld(tmp_path / "again")
    assert_equal(again, model)
    assert again.config == model.config


def test_exporting_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    save_mcld(authors_model(), directory=tmp_path / "model")
    for name in ("first", "second"):
        export_authors(tmp_path / "model", out_dir=tmp_path / name)
    for name in FILES:
        first, second = (tmp_path / folder / f"{name}.pth" for folder in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_model_that_reads_iuv_is_exported_as_the_same_function_of_vui(tmp_path: Path) -> None:
    model = tiny_model(reference_precision="float16")
    assert model.config.iuv_channel_order == "iuv"
    save_mcld(model, directory=tmp_path / "model")
    export_authors(tmp_path / "model", out_dir=tmp_path / "release")
    import_authors(tmp_path / "release", out_dir=tmp_path / "vui", config=AUTHORS_TINY)
    turned = load_mcld(tmp_path / "vui")
    assert turned.config.iuv_channel_order == "vui"
    assert torch.equal(turned.pose_guider.conv_in.weight, model.pose_guider.conv_in.weight.flip(1))
    torch.testing.assert_close(predicted(turned), predicted(model), rtol=1e-4, atol=1e-5)
    import_authors(tmp_path / "release", out_dir=tmp_path / "iuv", config=AUTHORS_TINY, channel_order="iuv")
    assert_equal(load_mcld(tmp_path / "iuv"), model)
    assert load_mcld(tmp_path / "iuv").config == model.config


def test_the_order_of_the_channels_matters_to_the_prediction() -> None:
    # Otherwise the test above would pass without any turning.
    vui, iuv = authors_model(), tiny_model(reference_precision="float16")
    assert torch.equal(vui.pose_guider.conv_in.weight, iuv.pose_guider.conv_in.weight)
    assert (predicted(vui) - predicted(iuv)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_face": False}, r"model: use_face false: no face projector; the authors' four files cannot"),
        ({"use_reference": False}, r"model: use_reference false: no ReferenceNet"),
        ({"aggregation": "concat"}, r"model: aggregation concat: no face attention of its own"),
    ],
)
def test_an_ablation_that_the_files_cannot_hold_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_mcld(tiny_model(**changes), directory=tmp_path / "model")
    with pytest.raises(WeightsError, match=message):
        export_authors(tmp_path / "model", out_dir=tmp_path / "release")
    assert not (tmp_path / "release").exists()
    with pytest.raises(WeightsError, match=r"the model settings: .*use a full model"):
        import_authors(tmp_path, out_dir=tmp_path / "other", config=dataclasses.replace(TINY, **changes))


def test_what_the_authors_code_would_do_otherwise_is_said() -> None:
    assert differences(AUTHORS_CONFIG) == ()
    assert differences(ModelConfig(reference_precision="float16")) == ()  # the order is turned, not said
    for changes, words in (
        ({"use_texture": False}, "use_texture false"),
        ({"face_scale": 1.0}, "face_scale is 1.0"),
        ({"reference_precision": "compute"}, "rounds reference features to float16"),
        ({"layers_per_block": 1}, "this model's sizes are others"),
    ):
        (sentence,) = differences(dataclasses.replace(AUTHORS_CONFIG, **changes))
        assert words in sentence
    assert differences(dataclasses.replace(AUTHORS_CONFIG, attention_levels=(True, True, True, False))) == ()


def test_a_folder_of_something_else_is_never_replaced(release: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").write_text("dear")
    for out_dir in (tmp_path / "home", tmp_path / "home" / "letters", release):
        with pytest.raises(WeightsError, match=r"exists and is no MCLD model; name a new folder"):
            import_authors(release, out_dir=out_dir, config=TINY)
    assert (tmp_path / "home" / "letters").read_text() == "dear"


def test_an_import_of_other_bytes_is_said(
    release: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = import_authors(release, out_dir=tmp_path / "model", config=TINY)
    with caplog.at_level(logging.WARNING):
        import_authors(release, out_dir=tmp_path / "model", config=TINY)
    assert not caplog.text
    write_release(release, model=authors_model(seed=5))
    with caplog.at_level(logging.WARNING):
        import_authors(release, out_dir=tmp_path / "model", config=TINY)
    assert f"the import before had {record['pose_guider']['sha256']}" in caplog.text
    assert_equal(load_mcld(tmp_path / "model"), authors_model(seed=5))
