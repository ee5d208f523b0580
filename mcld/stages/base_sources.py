"""Find the files of the base weights where a user keeps them: one folder, or several as downloaded.

Public: `locate(params, *, root)`, `locate_in(directory)`, `named`, `COMPONENTS`. Looks at names only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcld.config import WeightsParams
from mcld.errors import WeightsError
from mcld.storage import read_json

CONFIG_NAME = "config.json"
INDEX_SUFFIX = ".index.json"
DIFFUSERS_STEM, CLIP_STEM, PICKLED_CLIP_STEM = "diffusion_pytorch_model", "model", "pytorch_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the base: our folder's name, the setting that names another, and what belongs there.

    `subfolders` are where it lies inside a downloaded repository. Of `weights_names` the first that exists
    counts.
    """

    name: str
    setting: str
    subfolders: tuple[str, ...]
    weights_names: tuple[str, ...]
    origin: str


def _weights_names(stem: str, *, pickled_stem: str) -> tuple[str, ...]:
    """Full precision before half, safetensors before pickles."""
    return (
        *(f"{stem}.safetensors", f"{stem}.safetensors{INDEX_SUFFIX}", f"{pickled_stem}.bin"),
        *(f"{stem}.fp16.safetensors", f"{pickled_stem}.fp16.bin"),
    )


_DIFFUSERS_NAMES = _weights_names(DIFFUSERS_STEM, pickled_stem=DIFFUSERS_STEM)
COMPONENTS = (
    Component(
        name="unet",
        setting="unet_dir",
        subfolders=("unet",),
        weights_names=_DIFFUSERS_NAMES,
        origin="folder unet/ of Stable Diffusion 1.5 or of sd-image-variations",
    ),
    Component(
        name="vae",
        setting="vae_dir",
        subfolders=("vae",),
        weights_names=_DIFFUSERS_NAMES,
        origin="folder vae/ of Stable Diffusion 1.5",
    ),
    Component(
        name="image_encoder",
        setting="image_encoder_dir",
        subfolders=("image_encoder",),
        weights_names=_weights_names(CLIP_STEM, pickled_stem=PICKLED_CLIP_STEM),
        origin="folder image_encoder/ of sd-image-variations, or CLIP ViT-L/14",
    ),
    Component(
        name="pose_embedding",
        setting="controlnet_dir",
        subfolders=("pose_embedding", "controlnet"),
        weights_names=_DIFFUSERS_NAMES,
        origin="ControlNet-seg for Stable Diffusion 1.5, or its weights controlnet_cond_embedding.* alone",
    ),
)


def locate(params: WeightsParams, *, root: Path) -> dict[str, tuple[Path, ...]]:
    """By component: its config.json, then its weights. Raises WeightsError naming what is missing first."""
    found = {}
    for component in COMPONENTS:
        own_dir = getattr(params, component.setting)
        if own_dir is not None:
            folder = _own_folder(root / own_dir, component=component)
        else:
            assert params.base_dir is not None  # checked by WeightsParams
            folder = _base_folder(root / params.base_dir, component=component)
        found[component.name] = _files_in(folder, component=component)
    return found


def locate_in(directory: Path) -> dict[str, tuple[Path, ...]]:
    """The same in one folder in our own layout."""
    return {
        component.name: _files_in(directory / component.name, component=component) for component in COMPONENTS
    }


def named(located: Mapping[str, tuple[Path, ...]]) -> dict[str, Path]:
    """Every file under the name `component/file` that hashes are kept by."""
    return {f"{component}/{path.name}": path for component, paths in located.items() for path in paths}


def _base_folder(base_dir: Path, *, component: Component) -> Path:
    if not base_dir.is_dir():
        names = ", ".join(each.name for each in COMPONENTS)
        raise WeightsError(
            f"weights.base_dir: {base_dir} is not a folder; it should hold {names}; "
            "what lies elsewhere is named in weights.unet_dir and its sisters"
        )
    candidates = [base_dir / name for name in component.subfolders]
    return next((folder for folder in candidates if (folder / CONFIG_NAME).is_file()), candidates[0])


def _own_folder(directory: Path, *, component: Component) -> Path:
    """The folder itself, or the one inside a whole downloaded repository."""
    candidates = [directory, *(directory / name for name in component.subfolders)]
    for folder in candidates:
        if (folder / CONFIG_NAME).is_file():
            return folder
    inside = " or in ".join(f"{name}/" for name in component.subfolders)
    raise WeightsError(
        f"weights.{component.setting}: no {CONFIG_NAME} in {directory}, nor in its {inside}; "
        f"expected there: {component.origin}, in diffusers layout"
    )


def _files_in(folder: Path, *, component: Component) -> tuple[Path, ...]:
    config_path = folder / CONFIG_NAME
    if not config_path.is_file():
        raise WeightsError(_missing(config_path, component=component))
    for name in component.weights_names:
        if (folder / name).is_file():
            return (config_path, folder / name, *_shards(folder / name))
    raise WeightsError(_missing(folder / component.weights_names[0], component=component))


def _missing(path: Path, *, component: Component) -> str:
    return (
        f"{path}: missing; expected there: {component.origin}, in diffusers layout; "
        f"copy it there, or name its folder in weights.{component.setting}"
    )


def _shards(path: Path) -> Iterator[Path]:
    """The files that an index lists; none for a file that is whole by itself."""
    if not path.name.endswith(INDEX_SUFFIX):
        return
    index = read_json(path)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise WeightsError(f"{path}: has no 'weight_map' from names to files; copy it again")
    for name in sorted(set(names.values())):
        if Path(name).name != name:
            raise WeightsError(
                f"{path}: lists {name!r}, which is not a file beside it; copy the folder again"
            )
        if not (path.parent / name).is_file():
            raise WeightsError(f"{path.parent / name}: missing, though {path.name} lists it; copy it there")
        yield path.parent / name
