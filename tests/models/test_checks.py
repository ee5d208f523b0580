"""Conditions that do not fit are refused with field, value and bound, before any work."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from mcld.errors import DataError
from mcld.models.checks import check_conditions, check_latent, check_values
from mcld.types import Conditions
from tests.models.tiny import TINY, tiny_conditions, tiny_latent, tiny_model


def changed(field: str, value: Tensor, *, num_rows: int = 2) -> Conditions:
    return dataclasses.replace(tiny_conditions(num_rows), **{field: value})


def with_parts_in_range(conditions: Conditions) -> Conditions:
    return dataclasses.replace(conditions, target_iuv=conditions.target_iuv.clamp(max=24))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image_embedding", torch.zeros(2, 25), "width 25, but this model was built for 24"),
        ("texture_embedding", torch.zeros(2, 23), "width 23, but this model was built for 24"),
        ("face_embedding", torch.zeros(2, 512), "width 512, but this model was built for 20"),
        ("texture_latent", torch.zeros(2, 8, 8, 6), "width 8, but this model was built for 4"),
        (
            "target_iuv",
            torch.zeros(2, 1, 64, 48, dtype=torch.uint8),
            "width 1, but this model was built for 3",
        ),
        ("target_iuv", torch.zeros(2, 3, 64, 48), r"dtype torch.float32, but it must be torch.uint8"),
        ("target_iuv", torch.zeros(2, 3, 60, 48, dtype=torch.uint8), r"\(60, 48\) is not a multiple of 8"),
        ("target_iuv", torch.zeros(2, 3, 0, 0, dtype=torch.uint8), r"\(0, 0\) is not a multiple of 8"),
        ("face_found", torch.ones(2), "dtype torch.float32, but it must be torch.bool"),
        ("image_embedding", torch.zeros(3, 24), "3 rows, but conditions.target_iuv has 2"),
        ("face_found", torch.ones(1, dtype=torch.bool), "1 rows, but conditions.target_iuv has 2"),
        ("image_embedding", torch.zeros(2, 1, 24), r"shape \(2, 1, 24\), but it needs 2 dimensions"),
    ],
)
def test_shapes_and_dtypes_that_do_not_fit_are_refused(field: str, value: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=rf"conditions\.{field}: .*{message}"):
        check_conditions(changed(field, value), config=TINY)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(DataError, match="0 rows; give at least one"):
        check_conditions(tiny_conditions(0), config=TINY)


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (torch.zeros(2, 4, 8, 8), r"target_iuv: size \(64, 48\), but a latent of \(8, 8\) needs \(64, 64\)"),
        (torch.zeros(2, 3, 8, 6), "noisy latent: 3 channels, but this model has 4"),
        (torch.zeros(1, 4, 8, 6), "noisy latent: 1 rows, but the conditions have 2"),
    ],
)
def test_latents_that_do_not_belong_to_the_conditions_are_refused(latent: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_latent(latent, conditions=tiny_conditions(2), config=TINY)


def test_a_latent_that_does_not_belong_to_the_prepared_conditions_is_refused() -> None:
    model = tiny_model()
    prepared = model.prepare(tiny_conditions(2), with_null=True)
    with pytest.raises(
        DataError, match=r"2 rows of size \(8, 6\), but .* prepared for 4 rows of size \(8, 6\)"
    ):
        model.denoise(tiny_latent(2), timestep_B=torch.tensor([1, 1]), prepared=prepared)


@pytest.mark.parametrize(
    "field", ["texture_latent", "image_embedding", "texture_embedding", "face_embedding"]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused_by_field_and_row(field: str, value: float) -> None:
    conditions = with_parts_in_range(tiny_conditions(3))
    check_values(conditions, iuv_resize="nearest")
    getattr(conditions, field)[2].view(-1)[5] = value
    with pytest.raises(DataError, match=rf"conditions\.{field}: row 2 holds {value}; every number must be"):
        check_values(conditions, iuv_resize="nearest")


def test_part_ids_above_24_are_refused_and_u_and_v_may_be_anything() -> None:
    conditions = with_parts_in_range(tiny_conditions(2))
    conditions.target_iuv[:, 1:] = 255
    check_values(conditions, iuv_resize="nearest")
    conditions.target_iuv[1, 0, 3, 4] = 25
    with pytest.raises(
        DataError, match=r"target_iuv: row 1 has part id 25, above 24; its channels must be I"
    ):
        check_values(conditions, iuv_resize="nearest")


def test_blended_part_ids_are_no_mistake_of_a_model_that_was_trained_on_them() -> None:
    conditions = tiny_conditions(1)
    conditions.target_iuv[:, 0] = 26
    check_values(conditions, iuv_resize="bicubic")
