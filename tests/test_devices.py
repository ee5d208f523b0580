"""Too much at once is a sentence that names the setting."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from mcld.devices import dtype_of, fitting_in_memory, precision_of
from mcld.errors import ConfigError
from mcld.types import Precision


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory.\nmore"), MemoryError()])
def test_running_out_of_memory_names_the_setting_to_lower(error: Exception) -> None:
    with (
        pytest.raises(
            ConfigError, match=r"^latents\.batch_size: 64 at once do not fit .*out of memory.*lower"
        ),
        fitting_in_memory("latents.batch_size", value=64),
    ):
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="something else"), fitting_in_memory("latents.batch_size", value=1):
        raise ValueError("something else")


def test_precisions_and_pytorchs_names_are_each_others() -> None:
    for precision in get_args(Precision):
        assert precision_of(dtype_of(precision)) == precision
    with pytest.raises(ConfigError, match=r"dtype: torch\.float64 is none in which models compute"):
        precision_of(torch.float64)
