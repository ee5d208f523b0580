"""Stage `weights`: make the base weights ready in one place, and verify every byte that has a known hash."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

from mcld.config import BASE_FOLDERS, Params, WeightsParams
from mcld.data.manifest import read_manifest, whole_manifest, write_manifest
from mcld.errors import DataError, WeightsError
from mcld.faults import passing
from mcld.progress import track
from mcld.stages.base_sources import COMPONENTS, locate, locate_in, named
from mcld.stages.mapper import Mapper
from mcld.storage import atomic_dir, fingerprint, read_json, sha256_of_file, write_json
from mcld.types import Manifest, PartRecord, Report
from mcld.workspace import Workspace

FORMAT_VERSION = 2
CARD_NAME = "card.json"
SOURCES_NAME = "sources.json"
NUM_FILES = 2 * len(COMPONENTS)  # a config and its weights for each
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Files to read by name, the sha256 that some must have and who says so, and how to write the base.

    `write` fills a folder, checks before it begins, and yields the name of each file that is there.
    """

    files: Mapping[str, Path]
    known: Mapping[str, str]
    known_by: str
    write: Callable[[Path], Iterator[str]]


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Bring the base weights into the stage's folder and record the hashes of what they were made from."""
    started = time.monotonic()
    out_dir = workspace.stage_dir("weights")
    with _source(params.weights, root=workspace.root) as source:
        hashes = _hashes(source.files)
        _check_hashes(source, hashes=hashes)
        reused = _is_current(out_dir, hashes=hashes, params=params.weights)
        if not reused:
            _say_what_changed(out_dir, hashes=hashes, params=params.weights)
            _write(source, hashes=hashes, out_dir=out_dir, params=params.weights)
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


@contextmanager
def _source(params: WeightsParams, *, root: Path) -> Iterator[_Source]:
    if params.preset == "sd15":
        yield _users_source(params, root=root)
        return
    with tiny_base_dir() as tiny:
        source = _folder_source(tiny, known=_card_hashes(tiny))
        if params.preset == "tiny":
            yield source
            return
        _check_hashes(source, hashes=_hashes(source.files))
        with TemporaryDirectory() as temporary:
            _make_untrained(Path(temporary), tiny=tiny, params=params)
            yield _folder_source(Path(temporary), known={})


def _users_source(params: WeightsParams, *, root: Path) -> _Source:
    """Folders as downloaded, to be checked and converted."""
    located = locate(params, root=root)
    found = named(located)

    def write(directory: Path) -> Iterator[str]:
        from mcld.models.base_folders import read_base, write_base

        return write_base(read_base(located), directory=directory)

    for name in params.expected_sha256:
        if name not in found:
            raise WeightsError(
                f"weights.expected_sha256: '{name}' is no file that is read; those are {', '.join(found)}"
            )
    in_base_dir = {component.name for component in COMPONENTS if getattr(params, component.setting) is None}
    card = _card_hashes(root / params.base_dir) if params.base_dir and in_base_dir else {}
    known = {name: value for name, value in card.items() if name.partition("/")[0] in in_base_dir}
    return _Source(
        files=found,
        known=known | params.expected_sha256,
        known_by=f"{CARD_NAME} or weights.expected_sha256",
        write=write,
    )


def _folder_source(directory: Path, *, known: Mapping[str, str]) -> _Source:
    """One folder in our own layout, to be copied."""
    found = named(locate_in(directory))

    def write(target: Path) -> Iterator[str]:
        for name, path in found.items():
            (target / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target / name)
            yield name

    return _Source(files=found, known=known, known_by=CARD_NAME, write=write)


def _make_untrained(directory: Path, *, tiny: Path, params: WeightsParams) -> None:
    """The tiny base's encoders beside a fresh, larger UNet and pose embedding."""
    from mcld.models.base import save_untrained

    for component in ("vae", "image_encoder"):
        shutil.copytree(tiny / component, directory / component)
    vae = read_json(tiny / "vae" / "config.json")
    encoder = read_json(tiny / "image_encoder" / "config.json")
    assert isinstance(vae, dict)
    assert isinstance(encoder, dict)
    save_untrained(
        directory,
        channels=params.untrained_channels,
        num_heads=params.untrained_heads,
        latent_channels=int(vae["latent_channels"]),
        embedding_dim=int(encoder["projection_dim"]),
        seed=params.seed,
    )


def _card_hashes(directory: Path) -> dict[str, str]:
    """sha256 by file name where a card tells them (the tiny base); else the first use records them."""
    card_path = directory / CARD_NAME
    if not card_path.is_file():
        return {}
    card = read_json(card_path)
    hashes = card.get("sha256") if isinstance(card, dict) else None
    if not isinstance(hashes, dict):
        raise WeightsError(f"{card_path}: has no 'sha256' table; install or copy the folder again")
    return {str(name): str(value) for name, value in hashes.items()}


def _hashes(paths: Mapping[str, Path]) -> dict[str, str]:
    items = track(paths.items(), description="hashing the base weights", total=len(paths))
    return {name: sha256_of_file(path) for name, path in items}


def _check_hashes(source: _Source, *, hashes: Mapping[str, str]) -> None:
    """Raises WeightsError for the first file whose bytes are not the expected ones."""
    for name, expected in source.known.items():
        found = hashes.get(name, "nothing")
        if found != expected:
            raise WeightsError(
                f"{source.files.get(name, name)}: sha256 is {found}, expected {expected} by "
                f"{source.known_by}; the file is damaged or another one: install or copy it again"
            )


def _is_current(out_dir: Path, *, hashes: Mapping[str, str], params: WeightsParams) -> bool:
    """Whether the folder already holds what these very files give."""
    manifest = whole_manifest(out_dir)
    return (
        manifest is not None
        and _recorded_sources(out_dir) == hashes
        and manifest.settings == _settings(params)
        and manifest.format_version == FORMAT_VERSION
    )


def _recorded_sources(out_dir: Path) -> dict[str, str]:
    """What the folder was made from: sha256 by name; nothing when there is no whole record."""
    try:
        value = read_json(out_dir / SOURCES_NAME)
    except DataError:
        return {}
    return value if isinstance(value, dict) else {}


def _say_what_changed(out_dir: Path, *, hashes: Mapping[str, str], params: WeightsParams) -> None:
    """A user's file whose bytes are no longer those of its first use is worth a word."""
    if params.preset != "sd15":
        return
    before = _recorded_sources(out_dir)
    for name, found in hashes.items():
        if before.get(name, found) != found:
            logger.warning("%s: sha256 is now %s; before it was %s", name, found, before[name])


def _write(source: _Source, *, hashes: Mapping[str, str], out_dir: Path, params: WeightsParams) -> None:
    with atomic_dir(out_dir) as temporary:
        parts = []
        names = track(source.write(temporary), description="writing the base weights", total=NUM_FILES)
        for index, name in enumerate(names):
            passing("weights:file_copied")
            parts.append(_record(temporary / name, index=index, name=name))
        write_json(temporary / SOURCES_NAME, value=dict(hashes))
        manifest = Manifest(
            stage="weights",
            format_version=FORMAT_VERSION,
            settings=_settings(params),
            parts=tuple(parts),
            files={SOURCES_NAME: sha256_of_file(temporary / SOURCES_NAME)},
        )
        write_manifest(temporary, manifest=manifest)
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
    # No folders: where the files came from is a path of one machine; their hashes say what they are.
    elsewhere = {"base_dir", *BASE_FOLDERS, "expected_sha256"}
    values = params.model_dump(mode="json", exclude=elsewhere)
    return values if params.preset == "untrained" else {"preset": params.preset}
