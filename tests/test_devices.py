"""Too much at once is a sentence that names the setting."""

from __future__ import annotations

import pytest
import torch

from mcld.devices import fitting_in_memory
from mcld.errors import ConfigError


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
