"""The model card beside a saved pipeline: what it is, how to load it, its settings, where it may be used.

Says only what it is told: training facts that are not known are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcld.models import MCLD
from mcld.storage import canonical_json

SAMPLING_NAMES = (
    "prediction_type",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "rescale_betas_zero_snr",
    "timestep_spacing",
)
FREE_BASES = ("tiny", "untrained")
PAPER = "https://arxiv.org/abs/2503.15686"
LOADING = """\
from mcld.inference.pipeline import MCLDPipeline
pipe = MCLDPipeline.from_pretrained("{name}")
images = pipe(conditions, seeds=[0]).images  # conditions: mcld.types.Conditions, one row a seed
"""
FROM_PHOTOGRAPHS = """\
from mcld.inference.open import open_engine
engine = open_engine("{name}")  # densepose=…, face_dir=…: for models of real photographs
engine.picture("me.jpg", "pose.jpg").save("out.png")
"""
FREE_LICENCE = """\
Trained from the base weights that come with the project, on people that the project renders: Apache-2.0."""
RESTRICTED_LICENCE = """\
The licences of what a model was trained from carry over to it:

- Stable Diffusion 1.5 and its ControlNets: CreativeML OpenRAIL-M, with use restrictions.
- DeepFashion: for non-commercial research only, under its maintainers' agreement.
- DensePose's and insightface's pretrained models, with which conditions are computed: non-commercial."""
MISUSE = "Use photographs of people who agreed: a model that puts real people into new poses can be misused."


def model_card(
    model: MCLD,
    *,
    scheduler: Any,  # noqa: ANN401  # any diffusers scheduler
    training: Mapping[str, Any],
    name: str,
    evaluation: str | None = None,
) -> str:
    """Markdown with the metadata that model hubs read.

    `training`: plain values by name, shown as is; `evaluation`: Markdown without a heading.
    """
    is_free = _is_free(training)
    sections = [
        _metadata("apache-2.0" if is_free else "other"),
        f"# {name}",
        "Multi-focal Conditioned Latent Diffusion (MCLD): given one picture of a dressed person and a body "
        f"pose, it renders that person in that pose. The method is that of [arXiv:2503.15686]({PAPER}).",
        f"From photographs:\n\n```python\n{FROM_PHOTOGRAPHS.format(name=name)}```",
        f"From conditions:\n\n```python\n{LOADING.format(name=name)}```",
        "## Settings",
        _table({"parameters": sum(p.numel() for p in model.parameters()), **model.config.to_dict()}),
        "## Sampling",
        _table({"scheduler": type(scheduler).__name__, **_sampling(scheduler)}),
        "## Training",
        _table(training) if training else "Not recorded.",
        "## Evaluation",
        evaluation or "Not scored.",
        "## Licence and use",
        FREE_LICENCE if is_free else RESTRICTED_LICENCE,
        MISUSE,
    ]
    return "\n\n".join(sections) + "\n"


def _is_free(training: Mapping[str, Any]) -> bool:
    return training.get("dataset.source") == "mannequins" and training.get("weights.preset") in FREE_BASES


def _metadata(licence: str) -> str:
    return (
        f"---\nlibrary_name: diffusers\npipeline_tag: image-to-image\nlicense: {licence}\n"
        "tags:\n- mcld\n- pose-guided-person-image-synthesis\n---"
    )


def _sampling(scheduler: Any) -> dict[str, Any]:  # noqa: ANN401
    return {name: scheduler.config[name] for name in SAMPLING_NAMES if name in scheduler.config}


def _table(values: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {_cell(value)} |" for name, value in values.items()]
    return "\n".join(["| setting | value |", "|---|---|", *rows])


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text.replace("|", "\\|").replace("\n", " ")
