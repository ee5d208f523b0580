"""Stage `probe`: what the VAE alone costs faces and garments, in pictures and numbers (the paper's figure 1).

A few test images go through the VAE and back, once as they are and once with noise on their latents, at the
size that the model works at. `mcld.inference.vae_probe` defines the deviation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from diffusers import AutoencoderKL

from mcld import faults
from mcld.conditions.encoders import load_vae
from mcld.config import LatentsParams, Params, ProbeParams
from mcld.data.codec import decode_image, decode_iuv, encode_png
from mcld.data.manifest import read_manifest
from mcld.evaluation.metrics import pair_metrics
from mcld.evaluation.probe_figure import PROBE_ROWS, ProbedView, probe_figure
from mcld.evaluation.protocols import to_8_bit
from mcld.evaluation.scores import ScoredPair
from mcld.framing import Framing
from mcld.inference.vae_probe import probe_picture
from mcld.stages.columns import images_dir, read_pixels, report_of
from mcld.stages.mapper import Mapper, SerialMapper
from mcld.stages.parts import PartOutput, PartPlan, PartWork, finish, part_name, run_parts
from mcld.stages.pixels import EncoderSource, encoder_source
from mcld.stages.probe_files import FIGURE_NAME, METRICS_NAME
from mcld.stages.probed_images import ChosenImage, choose_images, image_seed
from mcld.storage import read_json, sha256_of_bytes, sha256_of_file, write_bytes, write_json
from mcld.types import ImageRecord, Manifest, Report
from mcld.workspace import Workspace

STAGE = "probe"
FORMAT_VERSION = 1
Scores = dict[str, dict[str, float | None]]  # row to metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeWork(PartWork[ChosenImage]):
    """Probes one image. The part's file holds its scores and the sha256 of its pictures, `ROW/NAME.png`."""

    suffix = ".scores.json"
    uses_device = True

    params: ProbeParams
    framing: Framing
    image_dir: Path
    encoders: EncoderSource

    def inputs(self, payload: ChosenImage) -> object:
        """The image, its IUV map and the VAE."""
        image = payload.image
        return [image.key, image.sha256, sha256_of_bytes(payload.iuv_png), self.encoders.weights_sha256]

    def build(self, payload: ChosenImage, *, path: Path) -> PartOutput:
        """Write the pictures, then the scores."""
        image = payload.image
        pixels = read_pixels(image, root_dir=self.image_dir)
        assert isinstance(pixels, np.ndarray), "chosen images can be decoded"
        iuv = decode_iuv(payload.iuv_png)
        image_hw = (image.height_px, image.width_px)
        framed = self.framing.picture(pixels)
        probed = probe_picture(
            framed,
            vae=_vae(self.encoders),
            deviation=self.params.deviation,
            seed=image_seed(self.params.seed, key=image.key),
        )
        found = {
            "original": framed,
            "reconstruction": to_8_bit(probed.reconstruction),
            "deviated": to_8_bit(probed.deviated),
        }
        cut = {row: self.framing.cut(found[row], image_hw=image_hw) for row in PROBE_ROWS}
        files = {picture_name(image, row=row): encode_png(cut[row]) for row in PROBE_ROWS}
        for name, data in files.items():
            write_bytes(path.parent / name, data=data)
        value = {
            "key": image.key,
            "latent_std": probed.latent_std,
            "rows": score_rows(cut, iuv=self.framing.cut(self.framing.iuv(iuv), image_hw=image_hw)),
            "pictures": {name: sha256_of_bytes(data) for name, data in files.items()},
        }
        write_json(path, value=value)
        return PartOutput(num_items=1)

    def is_intact(self, path: Path) -> bool:
        """Whether every picture is there with its recorded bytes."""
        pictures = {path.parent / name: digest for name, digest in _read_part(path)["pictures"].items()}
        return all(place.is_file() and sha256_of_file(place) == digest for place, digest in pictures.items())

    def release(self) -> None:
        """Let go of the VAE."""
        _vae.cache_clear()


def run(params: Params, *, workspace: Workspace, mapper: Mapper) -> Report:
    """Write artifacts/probe (pictures, scores, figure.png) and metrics/probe.json. Runs in this process."""
    started = time.monotonic()
    out_dir, section = workspace.stage_dir(STAGE), params.probe
    read_manifest(workspace.stage_dir("latents"))  # which settled the model's size
    work = ProbeWork(
        params=section,
        framing=_framing(params.latents),
        image_dir=images_dir(params.dataset, workspace=workspace),
        encoders=encoder_source(params.runtime, weights_dir=workspace.stage_dir("weights")),
    )
    chosen, passed_over = choose_images(
        section, framing=work.framing, image_dir=work.image_dir, workspace=workspace
    )
    manifest, num_reused = run_parts(
        STAGE,
        out_dir=out_dir,
        settings={
            **section.model_dump(mode="json", exclude={"num_images"}),
            **params.latents.model_dump(mode="json", include={"height_px", "width_px", "fit"}),
        },
        format_version=FORMAT_VERSION,
        plans=[
            PartPlan(index=number, name=part_name(number), payload=one) for number, one in enumerate(chosen)
        ],
        work=work,
        mapper=SerialMapper(),
    )
    _remove_other_pictures(out_dir, chosen=chosen)
    _write_figure(manifest, chosen=chosen, work=work, out_dir=out_dir)
    faults.passing(f"{STAGE}:figure_written")
    flat = flat_metrics([_read_part(out_dir / part.path) for part in manifest.parts], params=section)
    write_json(workspace.metrics_dir / METRICS_NAME, value=flat)
    faults.passing(f"{STAGE}:metrics_written")
    counts = {f"passed_over: {reason}": count for reason, count in passed_over.items()}
    files = {FIGURE_NAME: sha256_of_file(out_dir / FIGURE_NAME)}
    finish(replace(manifest, counts=counts, files=files), out_dir=out_dir)
    report = report_of(manifest, num_reused=num_reused, started=started, out_dir=out_dir)
    shown = ("reconstruction.psnr", "deviated.psnr", "reconstruction.face_ssim", "deviated.face_ssim")
    return replace(report, details={**counts, **{name: flat[name] for name in shown if name in flat}})


def picture_name(image: ImageRecord, *, row: str) -> str:
    """Where a picture lies in the folder: `deviated/WOMEN-Dresses-id_00000692-02_1_front.png`."""
    return f"{row}/{image.key.replace('/', '_')}.png"


def score_rows(pictures: Mapping[str, np.ndarray], *, iuv: np.ndarray) -> Scores:
    """Score every picture against the original by all metrics that need no weights; None where undefined.

    Among them PSNR of equal pictures, which is infinite. Pictures and IUV map are (H, W, 3) uint8.
    """
    high, wide = iuv.shape[:2]
    scores: Scores = {}
    for row, picture in pictures.items():
        pair = ScoredPair(image=picture, target=pictures["original"], target_iuv=iuv)
        scores[row] = {
            metric.name: metric.function(pair)
            for metric in pair_metrics(height_px=high, width_px=wide)
            if metric.function
        }
    return scores


def flat_metrics(parts: Sequence[Mapping[str, Any]], *, params: ProbeParams) -> dict[str, float]:
    """`ROW.METRIC`, means over the images where it is defined; one that is defined nowhere is left out."""
    flat: dict[str, float] = {
        "num_images": len(parts),
        "deviation": params.deviation,
        "latent_std": _mean([part["latent_std"] for part in parts]),
    }
    for row in PROBE_ROWS:
        for name in parts[0]["rows"][row]:
            values = [part["rows"][row].get(name) for part in parts]
            known = [value for value in values if value is not None]
            if known:
                flat[f"{row}.{name}"] = _mean(known)
    return flat


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)  # as other metrics files do


@lru_cache(maxsize=1)
def _vae(encoders: EncoderSource) -> AutoencoderKL:
    """This process's VAE, kept until the parts are done. Raises WeightsError."""
    return load_vae(encoders.weights_dir / "vae").to(encoders.device)


def _framing(latents: LatentsParams) -> Framing:
    return Framing(height_px=latents.height_px, width_px=latents.width_px, fit=latents.fit)


def _read_part(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", read_json(path))


def _remove_other_pictures(out_dir: Path, *, chosen: Sequence[ChosenImage]) -> None:
    """Remove pictures of images that an earlier run probed and this one does not."""
    wanted = {picture_name(one.image, row=row) for one in chosen for row in PROBE_ROWS}
    for row in PROBE_ROWS:
        for path in (out_dir / row).glob("*.png"):
            if f"{row}/{path.name}" not in wanted:
                path.unlink()


def _write_figure(
    manifest: Manifest, *, chosen: Sequence[ChosenImage], work: ProbeWork, out_dir: Path
) -> None:
    views = []
    for one, part in zip(chosen, manifest.parts, strict=True):
        image_hw = (one.image.height_px, one.image.width_px)
        iuv = work.framing.iuv(decode_iuv(one.iuv_png))
        pictures = {
            row: decode_image((out_dir / picture_name(one.image, row=row)).read_bytes()) for row in PROBE_ROWS
        }
        views.append(
            ProbedView(
                pictures=pictures,
                iuv=work.framing.cut(iuv, image_hw=image_hw),
                image_hw=image_hw,
                scores=_read_part(out_dir / part.path)["rows"],
            )
        )
    figure = probe_figure(views, deviation=work.params.deviation)
    write_bytes(out_dir / FIGURE_NAME, data=encode_png(figure))
