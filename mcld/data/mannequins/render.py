"""One view of a mannequin: picture, exact IUV, and whether the face shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcld.data.mannequins.body import build_person
from mcld.data.mannequins.lofts import Surface
from mcld.data.mannequins.materials import BOTTOM, OUTER, TOP, Painted, Points, paint
from mcld.data.mannequins.parts import ARM_L, ARM_R, BODY, HEAD, LEG_L, LEG_R, TORSO, chart_coordinates
from mcld.data.mannequins.people import Mannequin
from mcld.data.mannequins.poses import Pose
from mcld.data.mannequins.rasterize import Fragments, rasterize
from mcld.data.mannequins.shading import (
    backdrop,
    box_blur,
    cast_shadow,
    light,
    occlusion,
    soften_seams,
    to_srgb,
)
from mcld.data.mannequins.skeleton import Skeleton, pose_skeleton, rotate_x
from mcld.data.mannequins.wardrobe import WAIST_ALONG, Outfit

_SUPERSAMPLING = 2
_MIN_FACE_SHARE = 0.0016  # of the picture's pixels
FLAT_VIEW = "6_flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedView:
    """A picture and its ground truth."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    iuv: np.ndarray  # (H, W, 3) uint8, channels I U V; zeros on background and for flat views
    face_visible: bool  # enough face pixels turned to the camera


@dataclass(frozen=True, slots=True, kw_only=True)
class _Camera:
    """Orthographic: x_px = origin_x + scale · x; y_px = origin_y - scale · y, after tilting the world."""

    tilt: np.ndarray  # (3, 3)
    scale_px: float  # pixels a metre
    origin_px: tuple[float, float]

    def project(self, points: np.ndarray) -> np.ndarray:
        tilted = np.asarray(points @ self.tilt.T)
        screen: np.ndarray = np.empty_like(tilted)
        screen[..., 0] = self.origin_px[0] + self.scale_px * tilted[..., 0]
        screen[..., 1] = self.origin_px[1] - self.scale_px * tilted[..., 1]
        screen[..., 2] = tilted[..., 2]
        return screen


def render_view(mannequin: Mannequin, *, view: str, height_px: int, width_px: int) -> RenderedView:
    """Render one of the mannequin's views. The same arguments give the same bytes."""
    pose = mannequin.pose_of(view)
    flat = view == FLAT_VIEW
    skeleton = pose_skeleton(mannequin.identity, pose=pose)
    # Small pictures need fewer triangles: about two pixels of the fine grid each.
    detail = float(np.clip(height_px / 256, 0.5, 1.6))
    surface = build_person(mannequin.identity, outfit=mannequin.outfit, skeleton=skeleton, detail=detail)
    high, wide = height_px * _SUPERSAMPLING, width_px * _SUPERSAMPLING
    if flat:
        camera = _frame_garment(surface, outfit=mannequin.outfit, height_px=high, width_px=wide)
    else:
        camera = _frame(surface, pose=pose, height_px=high, width_px=wide)
    screen = camera.project(surface.positions)
    fragments = rasterize(screen[surface.triangles], height_px=high, width_px=wide)
    points, normals = _interpolate(surface, fragments=fragments)
    painted = paint(mannequin, points=points)
    keep = _garment_only(mannequin, painted=painted) if flat else np.ones(len(fragments.pixel), dtype=bool)
    linear = _compose(
        fragments,
        keep=keep,
        painted=painted,
        normals=normals @ camera.tilt.T,
        camera=camera,
        pieces=points.limb + 16 * points.layer,
        skeleton=skeleton,
        surface=surface,
        flat=flat,
        height_px=high,
        width_px=wide,
    )
    image = _downsample(to_srgb(linear), height_px=height_px, width_px=width_px)
    iuv = np.zeros((high * wide, 3), dtype=np.uint8)
    if not flat:
        iuv[fragments.pixel] = chart_coordinates(points.limb, around=points.around, along=points.along)
    # Nearest, never a mean: part ids are labels, and U and V jump between parts.
    iuv = iuv.reshape(high, wide, 3)[::_SUPERSAMPLING, ::_SUPERSAMPLING]
    return RenderedView(
        image=image,
        iuv=np.ascontiguousarray(iuv),
        face_visible=not flat and _face_visible(points, num_pixels=high * wide),
    )


def _interpolate(surface: Surface, *, fragments: Fragments) -> tuple[Points, np.ndarray]:
    corners = surface.triangles[fragments.triangle]
    weights = fragments.weights

    def blend(values: np.ndarray) -> np.ndarray:
        picked = values[corners]
        if values.ndim == 1:
            return np.asarray((picked * weights).sum(1))
        return np.asarray(np.einsum("pcx,pc->px", picked, weights))

    normals = blend(surface.normals)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    points = Points(
        limb=surface.limb[fragments.triangle].astype(np.int64),
        layer=surface.layer[fragments.triangle],
        around=blend(surface.around),
        along=blend(surface.along),
        rest=blend(surface.rest),
    )
    return points, normals


def _frame(surface: Surface, *, pose: Pose, height_px: int, width_px: int) -> _Camera:
    tilt = rotate_x(pose.camera_pitch)
    tilted = surface.positions @ tilt.T
    top, bottom = float(tilted[:, 1].max()), float(tilted[:, 1].min())
    middle = 0.5 * float(tilted[:, 0].max() + tilted[:, 0].min())
    # The height decides the scale, unless a full figure with spread arms would not fit the width.
    scale = height_px / ((top - bottom) * pose.span)
    if pose.span > 1:
        scale = min(scale, 0.96 * width_px / float(np.ptp(tilted[:, 0])))
    if pose.span > 1:
        middle = 0.7 * middle
        start = 0.5 * (height_px - scale * (top - bottom)) * 1.1
    else:
        middle = 0.35 * middle
        start = pose.headroom * height_px
    x = width_px * (0.5 + pose.shift) - scale * middle
    return _Camera(tilt=tilt, scale_px=scale, origin_px=(x, start + scale * top))


def _frame_garment(surface: Surface, *, outfit: Outfit, height_px: int, width_px: int) -> _Camera:
    """A camera that looks at the garment of a flat view alone."""
    limb, along = surface.limb, surface.along[surface.triangles].mean(1)
    top = outfit.outer if outfit.main == "outer" and outfit.outer is not None else outfit.top
    upper = ((limb == TORSO) & (along > top.hem)) | (np.isin(limb, (ARM_L, ARM_R)) & (along < top.sleeve))
    lower = ((limb == TORSO) & (along < WAIST_ALONG)) | (
        np.isin(limb, (LEG_L, LEG_R)) & (along < outfit.bottom.hem)
    )
    shown = {"bottom": lower, "dress": upper | lower}.get(outfit.main, upper)
    points = surface.positions[surface.triangles[shown].ravel(), :2]
    low, high = points.min(0), points.max(0)
    scale = min(0.80 * width_px / (high[0] - low[0]), 0.80 * height_px / (high[1] - low[1]))
    middle = 0.5 * (low + high)
    return _Camera(
        tilt=np.eye(3),
        scale_px=float(scale),
        origin_px=(float(width_px / 2 - scale * middle[0]), float(height_px / 2 + scale * middle[1])),
    )


def _garment_only(mannequin: Mannequin, *, painted: Painted) -> np.ndarray:
    wanted = {"top": (TOP,), "bottom": (BOTTOM,), "outer": (OUTER,), "dress": (TOP, BOTTOM)}[
        mannequin.outfit.main
    ]
    return np.isin(painted.stuff, wanted)


def _compose(
    fragments: Fragments,
    *,
    keep: np.ndarray,
    painted: Painted,
    normals: np.ndarray,
    pieces: np.ndarray,
    camera: _Camera,
    skeleton: Skeleton,
    surface: Surface,
    flat: bool,
    height_px: int,
    width_px: int,
) -> np.ndarray:
    """Shade the visible points and lay them over the backdrop: (H, W, 3) linear."""
    shape = (height_px, width_px)
    covered = np.zeros(height_px * width_px, dtype=bool)
    depth = np.zeros(height_px * width_px, dtype=np.float32)
    pixel = fragments.pixel[keep]
    covered[pixel] = True
    depth[pixel] = fragments.depth[keep]
    covered, depth = covered.reshape(shape), depth.reshape(shape)
    openness = occlusion(depth, covered=covered, metre_px=camera.scale_px).ravel()[pixel]
    key_share = cast_shadow(depth, covered=covered, metre_px=camera.scale_px).ravel()[pixel]
    shown = Painted(albedo=painted.albedo[keep], stuff=painted.stuff[keep])
    normals = soften_seams(
        normals[keep],
        pixel=pixel,
        depth_m=depth,
        piece=pieces[keep],
        stuff=shown.stuff,
        metre_px=camera.scale_px,
    )
    feet = np.zeros((0, 2)) if flat else _feet_px(skeleton, surface=surface, camera=camera)
    picture = backdrop(height_px, width_px=width_px, feet_px=feet, metre_px=camera.scale_px)
    if flat:  # a garment laid on paper: its shadow falls just beside it
        soft = box_blur(
            box_blur(covered.astype(np.float32), radius_px=height_px // 60), radius_px=height_px // 60
        )
        picture = (
            picture * (1 - 0.30 * np.roll(soft, (height_px // 90, height_px // 140), axis=(0, 1)))[..., None]
        )
    flattened = picture.reshape(-1, 3)
    flattened[pixel] = light(shown, normals=normals, openness=openness, key_share=key_share)
    return picture


def _feet_px(skeleton: Skeleton, *, surface: Surface, camera: _Camera) -> np.ndarray:
    """Where feet stand: under each ankle and a little ahead, on the floor of the lower foot."""
    floor = float(surface.positions[:, 1].min())
    spots = []
    for leg in (skeleton.left_leg, skeleton.right_leg):
        spot = leg.joints[2] + 0.07 * leg.frames[1][:, 2]
        spots.append([spot[0], floor + 0.012, spot[2]])
    return camera.project(np.array(spots))[:, :2]


def _downsample(fine: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    blocks = fine.reshape(height_px, _SUPERSAMPLING, width_px, _SUPERSAMPLING, 3)
    return np.asarray(np.rint(np.clip(blocks.mean(axis=(1, 3)), 0, 255)).astype(np.uint8))


def _face_visible(points: Points, *, num_pixels: int) -> bool:
    _, height, z = points.rest.T
    face = (points.limb == HEAD) & (points.layer == BODY) & (z > 0.045) & (height > 0.05) & (height < 0.7)
    return bool(face.sum() > _MIN_FACE_SHARE * num_pixels)
