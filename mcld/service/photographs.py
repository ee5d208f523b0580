"""A photograph as the service keeps it: pixels and everyone in it, found once; and what it shows of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcld.errors import DataError
from mcld.inference.engine import Engine
from mcld.inference.photos.finders import Found
from mcld.inference.photos.person import Person, Pose
from mcld.inference.photos.photo import Photo, read_photo
from mcld.inference.photos.picture import Picture
from mcld.inference.photos.reader import PhotoReader


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyFound:
    """A `PersonFinder` that says again what was found."""

    people: tuple[Found, ...]

    def find(self, _: object) -> tuple[Found, ...]:
        """Everyone who was found."""
        return self.people


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One person of a photograph."""

    pose: Pose
    box: tuple[int, int, int, int]  # left, top, right, bottom, in pixels of the photograph
    score: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # one is equal to itself alone
class KeptPicture:
    """A picture that can be printed on clothes."""

    picture: Picture


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptPhoto:
    """A photograph that was looked at. Appearances and views are made when they are first asked for."""

    photo: Photo
    sights: tuple[Sight, ...]  # from left to right
    usual: int  # whom the model's training would have taken, counted from 1
    people: dict[int, Person] = field(default_factory=dict)  # by number; filled by the model's thread
    views: dict[tuple[int, str], bytes] = field(default_factory=dict)  # PNG by number and kind

    @property
    def num_bytes(self) -> int:
        """Of memory that its pixels take."""
        windows = sum(sight.pose.photo.nbytes + sight.pose.iuv.nbytes for sight in self.sights)
        return self.photo.pixels.nbytes + windows

    def sight(self, number: int | None) -> Sight:
        """One of its people, the usual one for None. Raises DataError when there is nobody of this number."""
        chosen = self.usual if number is None else number
        if not 1 <= chosen <= len(self.sights):
            count = len(self.sights)
            raise DataError(
                f"{self.photo.name}: person {chosen} was asked for, but there "
                f"{'is 1 person' if count == 1 else f'are {count} people, counted from the left'}"
            )
        return self.sights[chosen - 1]

    def person(self, number: int | None, *, engine: Engine) -> Person:
        """The appearance of one of its people. Raises DataError; to be called in the model's thread."""
        sight = self.sight(number)
        key = sight.pose.origin.number
        if key not in self.people:
            self.people[key] = engine.person(sight.pose)
        return self.people[key]


def look_at(data: bytes, *, name: str, engine: Engine) -> KeptPhoto:
    """Read a photograph and find everyone in it, in the model's thread. Raises DataError."""
    photo = read_photo(data, name=name)
    found = engine.reader.people(photo)
    reader = PhotoReader(
        preparation=engine.preparation,
        person_finder=AlreadyFound(people=found),
        face_finder=engine.reader.face_finder,
    )
    sights = tuple(
        Sight(pose=reader.pose(photo, number=number), box=person.box, score=person.score)
        for number, person in enumerate(found, start=1)
    )
    return KeptPhoto(photo=photo, sights=sights, usual=reader.pose(photo).origin.number)
