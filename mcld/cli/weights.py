"""`mcld weights …`: make the tiny base, and carry models to and from the authors' code."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

weights_app = typer.Typer(help="Make base weights; import and export models.", no_args_is_help=True)


class IUVOrder(enum.StrEnum):
    """The order in which an imported model reads the IUV map's channels."""

    vui = "vui"
    iuv = "iuv"


@weights_app.command("make-tiny")
def make_tiny_base(
    out_dir: Annotated[Path, typer.Option(help="Where the finished base is written, with its card.")],
    work_dir: Annotated[Path, typer.Option(help="Where the corpus and checkpoints are kept.")],
    num_outfits: Annotated[int, typer.Option(min=20, help="Outfits of the rendered corpus.")] = 1000,
    vae_steps: Annotated[int, typer.Option(min=1, help="Training steps of the autoencoder.")] = 4800,
    unet_steps: Annotated[int, typer.Option(min=1, help="Training steps of the UNet.")] = 2600,
) -> None:
    """Train the tiny base that ships with the package, from rendered people alone. Repeat it to resume."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.config import RuntimeParams, num_workers
    from mcld.training.tiny_base.make import default_settings, make_tiny

    settings = default_settings(num_outfits=num_outfits, vae_steps=vae_steps, unet_steps=unet_steps)
    card = make_tiny(out_dir, work_dir=work_dir, settings=settings, num_workers=num_workers(RuntimeParams()))
    print(f"{out_dir}: person PSNR {card['held_out_person_psnr_db']} dB on outfits that training never saw")


@weights_app.command("import-authors")
def import_from_authors(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder of the authors' four files: denoising_unet, reference_unet, pose_guider, "
            "image_proj_model (or image_projector), as .pth, .bin or .safetensors.",
        ),
    ],
    out_dir: Annotated[Path, typer.Argument(metavar="OUT", help="The model's folder, to be written.")],
    step: Annotated[
        int | None, typer.Option(min=0, help="Which of several steps, as in denoising_unet-60000.pth.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A model_index.json with other settings than the full-size model's."),
    ] = None,
    iuv_order: Annotated[
        IUVOrder,
        typer.Option(help="vui: read the IUV as the authors do. iuv: an equal model that reads I, U, V."),
    ] = IUVOrder.vui,
) -> None:
    """Turn the authors' weights into a model folder. Names and shapes are checked, no pickle is executed."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.models.authors import AUTHORS_CONFIG, import_authors
    from mcld.models.weights import read_config

    settings = AUTHORS_CONFIG if config is None else read_config(config)
    record = import_authors(
        directory, out_dir=out_dir, config=settings, step=step, channel_order=iuv_order.value
    )
    for name, origin in record.items():
        print(f"{name:<17}{origin['num_bytes'] / 1e6:9.1f} MB  sha256 {origin['sha256']}  {origin['name']}")
    print(f"{out_dir}: an MCLD model; the hashes are kept beside it")


@weights_app.command("export-authors")
def export_to_authors(
    model_dir: Annotated[
        Path, typer.Argument(metavar="MODEL_DIR", help="A model's folder, e.g. artifacts/train/model.")
    ],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for the four .pth files; made if absent.")
    ],
) -> None:
    """Write a model as the four files that the authors' code loads."""
    from mcld.progress import log_to_stderr

    log_to_stderr()
    from mcld.models.authors import export_authors

    for sentence in export_authors(model_dir, out_dir=out_dir):
        print(f"note: {sentence}")
    print(
        f"{out_dir}: denoising_unet.pth, reference_unet.pth, pose_guider.pth and image_proj_model.pth "
        "(image_projector.pth in the authors' README)"
    )


@weights_app.command("import-densepose")
def import_densepose_weights(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="detectron2's model_final_844d15.pkl, R_101_FPN_DL_s1x.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors file to be written.")],
) -> None:
    """Turn detectron2's DensePose weights into safetensors, once. No pickle is executed."""
    from mcld.conditions.densepose import import_densepose
    from mcld.storage import sha256_of_file

    left_out = import_densepose(source, out_path=out)
    if left_out:
        print(f"note: left out, for they are no weights: {', '.join(left_out)}")
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of_file(out)}")
