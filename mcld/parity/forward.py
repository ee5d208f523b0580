"""Check one prediction: pose features, face tokens, every reference feature, and v with and without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mcld.errors import DataError
from mcld.models import MCLD
from mcld.parity import tolerances
from mcld.parity.golden import Golden, GoldenFile, conditions_of, timesteps_of
from mcld.parity.rows import Row, compare, compare_exactly
from mcld.parity.settings import REMEDY
from mcld.types import Conditions

MAX_TIMESTEP = 1_000_000  # the time embedding has no bound of its own; this one catches damaged files


def check_weights(golden: Golden) -> Iterator[Row]:
    """Every recorded weight is a number. Without this, NaN in a weight without effect would go unseen."""
    for name, state in golden.states.items():
        is_finite = torch.cat([value.isfinite().flatten() for value in state.values()])
        note = "" if is_finite.all() else _first_damaged(state)
        expected = torch.ones_like(is_finite)
        yield compare_exactly(f"weights: {name} finite", found=is_finite, expected=expected, note=note)


@torch.no_grad()
def check_forward(
    file: GoldenFile, *, seed: int, golden: Golden, model: MCLD, half_model: MCLD, with_features: bool
) -> Iterator[Row]:
    """All that `instancenet_seed{N}` records. The features are recorded for one seed only."""
    latent = file.tensor("in.noisy_latents", shape=golden.latent_shape(rows=None))
    conditions = conditions_of(file, golden=golden, rows=len(latent))
    yield from _check_parts(file, seed=seed, model=model, conditions=conditions)
    if with_features or file.under("bank."):
        yield from _check_features(file, seed=seed, model=model, conditions=conditions)
    timestep = timesteps_of(file, rows=len(latent), num_timesteps=MAX_TIMESTEP)
    for variant, network, tolerance in (
        ("cond_fp32bank", model, tolerances.FORWARD),
        ("cond_fp16bank", half_model, tolerances.HALF_REFERENCE),
        ("uncond", model, tolerances.FORWARD),
    ):
        v = network(
            latent,
            timestep_B=timestep,
            conditions=conditions,
            drop_reference_B=torch.full((len(latent),), variant == "uncond"),
        )
        expected = file.tensor(f"out.model_pred_{variant}")
        yield compare(f"seed {seed}: v {variant}", found=v, expected=expected, tolerance=tolerance)


def _check_parts(file: GoldenFile, *, seed: int, model: MCLD, conditions: Conditions) -> Iterator[Row]:
    assert model.face_projector is not None
    for name, found, expected in (
        ("pose features", model.pose_guider(conditions.target_iuv), file.tensor("out.pose_fea")),
        ("face tokens", model.face_projector(conditions.face_embedding), file.tensor("out.face_tokens")),
    ):
        yield compare(f"seed {seed}: {name}", found=found, expected=expected, tolerance=tolerances.FORWARD)


def _check_features(file: GoldenFile, *, seed: int, model: MCLD, conditions: Conditions) -> Iterator[Row]:
    assert model.reference_net is not None
    features = model.reference_net(
        conditions.texture_latent, image_token_K1D=conditions.image_embedding[:, None]
    )
    unknown = sorted(file.under("bank.").keys() - features.keys())
    if unknown:
        raise DataError(f"{file.path}: 'bank.{unknown[0]}' is of no block of this model; {REMEDY}")
    for name, feature in features.items():
        yield compare(
            f"seed {seed}: feature {name}",
            found=feature,
            expected=file.tensor(f"bank.{name}"),
            tolerance=tolerances.FORWARD,
        )


def _first_damaged(state: Mapping[str, Tensor]) -> str:
    return next(key for key, value in state.items() if not value.isfinite().all())
