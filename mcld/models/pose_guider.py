"""PoseGuider: turns the target's IUV map into features that are added to the denoiser's first convolution.

Same layers and weight names as ControlNet's `controlnet_cond_embedding`, from which it starts.

Shapes: B rows, H W image size, h w latent size (H / factor, W / factor), P width of the denoiser's conv_in.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional as F

from mcld.models.config import ModelConfig


class PoseGuider(nn.Module):
    """Convolutions 3 -> pose_channels, halving the size between them, then to conv_in's width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.channel_order = config.iuv_channel_order
        channels = config.pose_channels
        self.conv_in = nn.Conv2d(3, channels[0], kernel_size=3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in itertools.pairwise(channels):
            self.blocks.append(nn.Conv2d(narrow, narrow, kernel_size=3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, kernel_size=3, padding=1, stride=2))
        self.conv_out = nn.Conv2d(channels[-1], config.block_out_channels[0], kernel_size=3, padding=1)
        # Zero: the denoiser starts as the base UNet and the pose grows in (ControlNet, Zhang et al. 2023).
        for parameter in self.conv_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, iuv_B3HW: Tensor) -> Tensor:
        """Pose features (B, P, h, w) of a uint8 IUV map with channels I, U, V."""
        ordered_B3HW = iuv_B3HW if self.channel_order == "iuv" else iuv_B3HW.flip(1)
        hidden = F.silu(self.conv_in(ordered_B3HW.to(self.conv_in.weight.dtype) / 255.0))
        for block in self.blocks:
            hidden = F.silu(block(hidden))
        feature_BPHW: Tensor = self.conv_out(hidden)
        return feature_BPHW
