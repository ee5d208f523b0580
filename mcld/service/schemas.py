"""Requests and answers, as the service's description shows them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mcld.config.section import Positive, Section
from mcld.inference.settings import RenderSettings, SchedulerName
from mcld.service.edit_requests import EditRequests
from mcld.service.jobs import State
from mcld.service.references import Id, PersonNumber, PersonRef


class FieldError(Section):
    """One thing that is wrong with a request."""

    type: str
    loc: tuple[str | int, ...] = Field(description="Where in the request.")
    msg: str


class Problem(Section):
    """Why a request was refused."""

    detail: str = Field(description="A sentence for the user.", examples=["settings.num_steps: …"])
    errors: tuple[FieldError, ...] = Field(default=(), description="Of requests that do not fit.")


class Health(Section):
    """Whether the service works."""

    status: Literal["ok"]
    model: str
    device: str = Field(examples=["cpu", "cuda:0"])
    queued: int = Field(description="Renders that wait.")


class ServiceLimits(Section):
    """What the service takes and keeps; `mcld.service.limits` says what each means."""

    max_upload_bytes: int
    max_photos: int
    max_pictures: int
    photo_ttl_s: float
    max_queue: int
    render_timeout_s: float
    max_kept_renders: int
    render_ttl_s: float
    max_edits: int


class ModelAnswer(Section):
    """What the model was trained on, and what can be asked of it."""

    name: str = Field(description="Of its folder.")
    device: str = Field(examples=["cpu", "cuda:0"])
    people: Literal["mannequins", "photographs"]
    defaults: RenderSettings = Field(description="What a render's settings are where it does not say.")
    schedulers: tuple[SchedulerName, ...]
    limits: ServiceLimits
    regions: tuple[str, ...] = Field(description="Of clothes and body, which edits can name.")
    has_face_finder: bool
    model_sha256: str


class FoundPerson(Section):
    """Somebody in a photograph."""

    number: PersonNumber
    box: tuple[int, int, int, int] = Field(description="Left, top, right, bottom, in pixels.")
    score: float = Field(ge=0.0, le=1.0, description="How sure the finder is.")


class PhotoAnswer(Section):
    """A photograph that was looked at."""

    id: Id
    name: str
    width_px: Positive
    height_px: Positive
    notes: tuple[str, ...] = Field(description="What was converted, as sentences.")
    people: tuple[FoundPerson, ...] = Field(description="From left to right.")
    usual: PersonNumber = Field(description="Whom the model takes unless told otherwise.")


class PictureAnswer(Section):
    """A picture that can be printed on clothes."""

    id: Id
    name: str
    width_px: Positive
    height_px: Positive
    has_alpha: bool


class Example(Section):
    """A photograph that the service brings along; it never expires."""

    photo: Id
    name: str
    role: Literal["person", "pose"]


class PreviewRequest(Section):
    """Whose appearance, how changed."""

    source: PersonRef
    edits: EditRequests = ()


class RenderRequest(Section):
    """Whose appearance, in whose pose, how changed and how made."""

    source: PersonRef
    target: PersonRef
    edits: EditRequests = ()
    settings: RenderSettings = Field(
        default_factory=RenderSettings, description="What is left out is as the model's defaults say."
    )
    attention: bool = Field(default=False, description="Also show where each focus speaks.")


class RenderTicket(Section):
    """A render that was taken."""

    id: Id
    state: State
    position: int = Field(ge=0, description="1: the next; 0: no longer waiting.")


class RenderAnswer(Section):
    """How far a render is, and where its results are."""

    id: Id
    state: State
    position: int = Field(ge=0, description="1: the next; 0: no longer waiting.")
    step: int = Field(ge=0, description="Steps done.")
    num_steps: int
    seconds: float | None = Field(description="Since its start, or in all; null before it.")
    error: str | None = Field(description="Of a failed render, a sentence.")
    picture: str | None = Field(description="Address of the PNG.")
    recipe: str | None = Field(description="Address of the JSON with which it can be made again.")
    attention: str | None = Field(description="Address of the PNG, if it was asked for.")
    notes: tuple[str, ...]
