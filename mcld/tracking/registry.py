"""Models under a name in MLflow's registry: versions of it, and the aliases `candidate` and `champion`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcld.errors import TrackingError
from mcld.tracking.reading import RunReader
from mcld.tracking.store import RefusedError, RunGoneError, StoreAwayError, shown, translated

if TYPE_CHECKING:
    from mcld.tracking.store import ModelVersion

CANDIDATE, CHAMPION = "candidate", "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a registered model, and the run whose model it is."""

    name: str
    version: str
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The registered model `name`. Methods raise TrackingError where the store does not answer or refuses."""

    reader: RunReader
    name: str

    def with_alias(self, alias: str) -> Version | None:
        """The version that an alias points at; None where it points at none."""
        with self._answers():
            try:
                with translated():
                    found = self.reader.store.client.get_model_version_by_alias(self.name, alias)
            except (
                RunGoneError,
                RefusedError,
            ):  # MLflow says the same of a name and of an alias that is not there
                return None
        return _version(found)

    def register(self, run_id: str, *, artifact_path: str, description: str) -> Version:
        """The version whose model is that run's artifact: made once, its description kept up to date."""
        client = self.reader.store.client
        with self._answers(), translated():
            found = self._of_run(run_id)
            if found is None:
                self._make_name()
                # Of its place, not of `runs:/…`, which MLflow takes for a model in its own format alone.
                source = f"{client.get_run(run_id).info.artifact_uri}/{artifact_path}"
                found = client.create_model_version(self.name, source, run_id=run_id)
            client.update_model_version(self.name, found.version, description)
        return _version(found)

    def point(self, alias: str, version: Version) -> None:
        """Make an alias point at a version, and at no other."""
        with self._answers(), translated():
            self.reader.store.client.set_registered_model_alias(self.name, alias, version.version)

    def tag(self, version: Version, *, values: dict[str, str]) -> None:
        """Set tags of a version."""
        with self._answers(), translated():
            for key, value in values.items():
                self.reader.store.client.set_model_version_tag(self.name, version.version, key, value)

    def _of_run(self, run_id: str) -> ModelVersion | None:
        found = self.reader.store.client.search_model_versions(f"name = '{self.name}'")
        return next((version for version in found if version.run_id == run_id), None)

    def _make_name(self) -> None:
        try:
            with translated():
                self.reader.store.client.create_registered_model(self.name)
        except RefusedError:  # it is there already; a bad name is refused again by what follows
            return

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except StoreAwayError as error:
            place = shown(self.reader.tracking_uri)
            raise TrackingError(
                f"MLflow at {place} does not answer ({error}); repeat when it is back"
            ) from error
        except (RefusedError, RunGoneError) as error:
            raise TrackingError(f"registered model '{self.name}': MLflow refuses it: {error}") from error


def _version(found: ModelVersion) -> Version:
    return Version(name=str(found.name), version=str(found.version), run_id=str(found.run_id))
