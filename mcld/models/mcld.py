"""MCLD: denoiser, ReferenceNet, PoseGuider and face projector as one module (arXiv 2503.15686).

Training:  v = model(noisy_latent, timestep_B=t, conditions=c, drop_appearance_B=..., drop_image_B=...)
Sampling:  prepared = model.prepare(c, with_null=True)              # once per batch of images
           v = model.denoise(latent, timestep_B=t, prepared=prepared)  # rows: all conditioned, then all null

One definition of "nothing", at training and at sampling: both CLIP tokens and the face tokens are zero
vectors, there is no reference, the pose stays. A row whose `face_found` is False has zero face tokens as
well.

Shapes: B rows, K <= B rows with a reference, C latent channels, H W latent size, P width of conv_in, D
embedding width, F face tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mcld.models.attention import BlockContext
from mcld.models.checks import check_conditions, check_latent, check_prepared_latent
from mcld.models.config import ModelConfig
from mcld.models.denoiser import Denoised, Denoiser
from mcld.models.face_projector import FaceProjector
from mcld.models.focal import Tokens, focal_conditions, with_null_rows, zero_rows
from mcld.models.pose_guider import PoseGuider
from mcld.models.reference_net import ReferenceNet
from mcld.models.rows import RowOrder, rows_with_reference_first, union, varying
from mcld.types import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedConditions:
    """All that stays constant while a batch is sampled: conditioned rows, then the null rows if asked for."""

    pose_feature: Tensor  # (B, P, H, W)
    contexts: Mapping[str, BlockContext]

    @property
    def num_rows(self) -> int:
        """Null rows included."""
        return len(self.pose_feature)

    def first(self, num_rows: int) -> PreparedConditions:
        """For the first rows alone, not copied: half of them are the conditioned ones of guidance."""
        contexts = {name: context.first(num_rows) for name, context in self.contexts.items()}
        return PreparedConditions(pose_feature=self.pose_feature[:num_rows], contexts=contexts)


class MCLD(nn.Module):
    """The whole model. Weights that the paper freezes, or that have no effect, do not require a gradient."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.denoiser = Denoiser(config)
        self.reference_net = ReferenceNet(config) if config.use_reference else None
        self.pose_guider = PoseGuider(config)
        self.face_projector: FaceProjector | None = None
        if config.use_face:  # without it (ablation) there is no projector to train or save
            self.face_projector = FaceProjector(config.face, output_dim=config.cross_attention_dim)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, to which inputs are cast."""
        return self.pose_guider.conv_in.weight.dtype

    def forward(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        conditions: Conditions,
        drop_appearance_B: Tensor | None = None,
        drop_image_B: Tensor | None = None,
        drop_reference_B: Tensor | None = None,
    ) -> Tensor:
        """v (B, C, H, W). Masks say which rows lose all appearance, the image embedding or the reference.

        ReferenceNet runs on the rows that keep their reference; when none does, on an empty batch, because
        distributed training needs the same modules used on every rank. Masks on the CPU spare a GPU
        synchronisation.
        """
        check_conditions(conditions, config=self.config)
        check_latent(noisy_latent_BCHW, conditions=conditions, config=self.config)
        tokens = self._tokens(conditions, drop_appearance_B=drop_appearance_B, drop_image_B=drop_image_B)
        dropped_B = union(drop_appearance_B, drop_reference_B) if self.reference_net is not None else None
        order = rows_with_reference_first(dropped_B=dropped_B, like=noisy_latent_BCHW)
        tokens = _sort_tokens(tokens, order=order)
        v_BCHW: Tensor = self.denoiser(
            order.sort(noisy_latent_BCHW.to(self.dtype)),
            timestep_B=order.sort(timestep_B),
            pose_feature_BPHW=order.sort(self.pose_guider(conditions.target_iuv)),
            focal=focal_conditions(tokens, config=self.config),
            reference=self._reference_in(order, conditions=conditions, tokens=tokens),
        )
        return order.unsort(v_BCHW)

    @torch.no_grad()
    def prepare(self, conditions: Conditions, *, with_null: bool) -> PreparedConditions:
        """All that `denoise` needs of the conditions; `with_null` adds the rows for guidance."""
        check_conditions(conditions, config=self.config)
        tokens = self._tokens(conditions, drop_appearance_B=None, drop_image_B=None)
        reference = self._reference(conditions.texture_latent, image_token_K1D=tokens.image)
        pose_feature = self.pose_guider(conditions.target_iuv)
        if with_null:
            tokens = with_null_rows(tokens)
            pose_feature = torch.cat([pose_feature, pose_feature])
        focal = focal_conditions(tokens, config=self.config)
        contexts = self.denoiser.project(focal, reference=reference)
        return PreparedConditions(pose_feature=pose_feature, contexts=contexts)

    @torch.no_grad()
    def denoise(
        self, noisy_latent_BCHW: Tensor, *, timestep_B: Tensor, prepared: PreparedConditions
    ) -> Tensor:
        """v (B, C, H, W) for the rows of `prepared`, in the latent's own dtype."""
        return self.denoise_reusing(
            noisy_latent_BCHW, timestep_B=timestep_B, prepared=prepared, deep_BCHW=None
        ).v

    @torch.no_grad()
    def denoise_reusing(
        self,
        noisy_latent_BCHW: Tensor,
        *,
        timestep_B: Tensor,
        prepared: PreparedConditions,
        deep_BCHW: Tensor | None,
    ) -> Denoised:
        """The same v, and the deep layers' feature; given that of another step, they are not run."""
        check_prepared_latent(noisy_latent_BCHW, pose_feature_BPHW=prepared.pose_feature)
        assert deep_BCHW is None or len(deep_BCHW) == prepared.num_rows
        found = self.denoiser.denoise(
            noisy_latent_BCHW.to(self.dtype),
            timestep_B=timestep_B,
            pose_feature_BPHW=prepared.pose_feature,
            contexts=prepared.contexts,
            deep_BCHW=deep_BCHW,
        )
        return Denoised(v=found.v.to(noisy_latent_BCHW.dtype), deep=found.deep)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Recompute activations of both UNets in the backward pass: less memory, about a third more time."""
        self.denoiser.gradient_checkpointing = enabled
        if self.reference_net is not None:
            self.reference_net.gradient_checkpointing = enabled

    def dead_parameter_names(self) -> tuple[str, ...]:
        """Names of weights without any effect, such as keys of a softmax over one token. Never trained."""
        names = [f"denoiser.unet.{name}" for name in self.denoiser.dead_parameter_names()]
        if self.reference_net is not None:
            names += [f"reference_net.unet.{name}" for name in self.reference_net.dead_parameter_names()]
        return tuple(names)

    def _tokens(
        self, conditions: Conditions, *, drop_appearance_B: Tensor | None, drop_image_B: Tensor | None
    ) -> Tokens:
        face = None
        if self.face_projector is not None:
            face = self.face_projector(conditions.face_embedding.to(self.dtype))
            face = zero_rows(face, where_B=~conditions.face_found)
            face = zero_rows(face, where_B=drop_appearance_B)
        image = conditions.image_embedding.to(self.dtype)[:, None]
        texture = conditions.texture_embedding.to(self.dtype)[:, None]
        return Tokens(
            image=zero_rows(image, where_B=union(drop_appearance_B, drop_image_B)),
            texture=zero_rows(texture, where_B=drop_appearance_B),
            face=face,
        )

    def _reference_in(
        self, order: RowOrder, *, conditions: Conditions, tokens: Tokens
    ) -> dict[str, Tensor] | None:
        """Features of the rows that keep their reference."""
        texture_latent_KCHW = order.sort_first(conditions.texture_latent)
        image_token_K1D = tokens.image[: order.num_with_reference]
        features = self._reference(
            varying(texture_latent_KCHW, order=order), image_token_K1D=varying(image_token_K1D, order=order)
        )
        if features is None:
            return None
        return {name: varying(feature, order=order) for name, feature in features.items()}

    def _reference(self, texture_latent_KCHW: Tensor, *, image_token_K1D: Tensor) -> dict[str, Tensor] | None:
        if self.reference_net is None:
            return None
        texture_latent_KCHW = texture_latent_KCHW.to(self.dtype)
        features: dict[str, Tensor] = self.reference_net(texture_latent_KCHW, image_token_K1D=image_token_K1D)
        if self.config.reference_precision == "float16":
            return {name: feature.half().to(feature.dtype) for name, feature in features.items()}
        return features


def _sort_tokens(tokens: Tokens, *, order: RowOrder) -> Tokens:
    return Tokens(
        image=order.sort(tokens.image),
        texture=order.sort(tokens.texture),
        face=order.sort(tokens.face) if tokens.face is not None else None,
    )
