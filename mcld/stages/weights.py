"""Stage `weights`: make the base weights ready in one place, and verify every byte that has a known hash."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

from mcld.config import Params, WeightsParams
from mcld.data.manifest import read_manifest, whole_manifest, write_manifest
from mcld.errors import WeightsError
from mcld.faults import passing
from mcld.stages.mapper import Mapper
from mcld.storage import atomic_dir, fingerprint, read_json, sha256_of_file
from mcld.types import Manifest, PartRecord, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 1
CARD_NAME = "card.json"
SUFFIX = ".safetensors"
# The base of every MCLD model in diffusers layout: folders, and the file that each holds besides config.json.
COMPONENTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "image_encoder": "model.safetensors",
    "pose_embedding": "diffusion_pytorch_model.safetensors",
}
ORIGINS = {
    "unet": "Stable Diffusion 1.5 or sd-image-variations, folder unet/",
    "vae": "Stable Diffusion 1.5, folder vae/",
    "image_encoder": "sd-image-variations, folder image_encoder/ (CLIP ViT-L/14)",
    "pose_embedding": (
        "ControlNet-seg for SD 1.5: the weights named controlnet_cond_embedding.*, with their config"
    ),
}


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Copy the base weights into the stage's folder and record their hashes."""
    started = time.monotonic()
    out_dir = workspace.stage_dir("weights")
    with _source_dir(params.weights, root=workspace.root) as source:
        known = _known_hashes(source)
        check_source(source, known=known)
        reused = _is_current(out_dir, source=source, params=params.weights)
        if not reused:
            _copy(source, out_dir=out_dir, params=params.weights)
    manifest = read_manifest(out_dir)
    return Report(
        stage="weights",
        num_items=len(manifest.parts),
        num_excluded=0,
        num_reused=len(manifest.parts) if reused else 0,
        seconds=time.monotonic() - started,
        output=out_dir,
        details={"megabytes": round(sum(part.num_bytes for part in manifest.parts) / 1e6)},
    )


def tiny_base_dir() -> AbstractContextManager[Path]:
    """The folder of the weights that ship with the package."""
    return as_file(files("mcld") / "assets" / "tiny")


def check_source(source: Path, *, known: dict[str, str]) -> None:
    """Raises WeightsError for the first file that is missing or whose bytes are not the expected ones."""
    for component, weights_name in COMPONENTS.items():
        for name in ("config.json", weights_name):
            path = source / component / name
            if not path.is_file():
                raise WeightsError(f"{path}: missing; expected there: {ORIGINS[component]}")
    for name, expected in known.items():
        found = sha256_of_file(source / name) if (source / name).is_file() else "nothing"
        if found != expected:
            raise WeightsError(
                f"{source / name}: sha256 is {found}, expected {expected} by {CARD_NAME}; "
                "the file is damaged: install or copy it again"
            )


def _source_dir(params: WeightsParams, *, root: Path) -> AbstractContextManager[Path]:
    if params.preset == "tiny":
        return tiny_base_dir()
    if params.preset == "untrained":
        return _untrained_dir(params)
    assert params.base_dir is not None  # checked by WeightsParams
    directory = root / params.base_dir
    if not directory.is_dir():
        raise WeightsError(
            f"weights.base_dir: {directory} is not a folder; it should hold {', '.join(COMPONENTS)}"
        )
    return nullcontext(directory)


@contextmanager
def _untrained_dir(params: WeightsParams) -> Iterator[Path]:
    """The tiny base's encoders beside a fresh, larger UNet and pose embedding."""
    from mcld.models.base import save_untrained

    with tiny_base_dir() as tiny, TemporaryDirectory() as temporary:
        check_source(tiny, known=_known_hashes(tiny))
        folder = Path(temporary)
        for component in ("vae", "image_encoder"):
            shutil.copytree(tiny / component, folder / component)
        vae = read_json(tiny / "vae" / "config.json")
        encoder = read_json(tiny / "image_encoder" / "config.json")
        assert isinstance(vae, dict)
        assert isinstance(encoder, dict)
        save_untrained(
            folder,
            channels=params.untrained_channels,
            num_heads=params.untrained_heads,
            latent_channels=int(vae["latent_channels"]),
            embedding_dim=int(encoder["projection_dim"]),
            seed=params.seed,
        )
        yield folder


def _known_hashes(source: Path) -> dict[str, str]:
    """sha256 by file name where a card tells them (the tiny base); else the first use records them."""
    card_path = source / CARD_NAME
    if not card_path.is_file():
        return {}
    card = read_json(card_path)
    hashes = card.get("sha256") if isinstance(card, dict) else None
    if not isinstance(hashes, dict):
        raise WeightsError(f"{card_path}: has no 'sha256' table; install or copy the folder again")
    return {str(name): str(value) for name, value in hashes.items()}


def _source_files(source: Path) -> list[Path]:
    wanted = [path for component in COMPONENTS for path in (source / component).iterdir()]
    return sorted(path for path in wanted if path.is_file() and path.suffix in (SUFFIX, ".json"))


def _is_current(out_dir: Path, *, source: Path, params: WeightsParams) -> bool:
    """Whether the folder already holds these very files."""
    manifest = whole_manifest(out_dir)
    if manifest is None:
        return False
    recorded = {part.path: part.sha256 for part in manifest.parts}
    wanted = {str(path.relative_to(source)): sha256_of_file(path) for path in _source_files(source)}
    return (
        recorded == wanted
        and manifest.settings == _settings(params)
        and manifest.format_version == FORMAT_VERSION
    )


def _copy(source: Path, *, out_dir: Path, params: WeightsParams) -> None:
    with atomic_dir(out_dir) as temporary:
        parts = []
        for index, path in enumerate(_source_files(source)):
            name = str(path.relative_to(source))
            (temporary / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, temporary / name)
            passing("weights:file_copied")
            parts.append(_record(temporary / name, index=index, name=name))
        settings = _settings(params)
        write_manifest(
            temporary,
            manifest=Manifest(
                stage="weights", format_version=FORMAT_VERSION, settings=settings, parts=tuple(parts)
            ),
        )
        passing("weights:manifest_written")


def _record(path: Path, *, index: int, name: str) -> PartRecord:
    digest = sha256_of_file(path)
    return PartRecord(
        index=index,
        path=name,
        sha256=digest,
        num_bytes=path.stat().st_size,
        num_items=1,
        fingerprint=fingerprint(digest),
    )


def _settings(params: WeightsParams) -> dict[str, object]:
    # Not base_dir: where the files came from is a path of one machine; their hashes say what they are.
    values = params.model_dump(mode="json", exclude={"base_dir"})
    return values if params.preset == "untrained" else {"preset": params.preset}
