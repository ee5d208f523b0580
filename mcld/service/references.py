"""How requests name what was sent before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mcld.config.section import Section

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
PersonNumber = Annotated[int, Field(ge=1, le=1000, description="Counted from the left, from 1.")]


class PersonRef(Section):
    """One person of a photograph that was sent."""

    photo: Id
    person: PersonNumber | None = Field(default=None, description="Null: the one that the model would take.")
