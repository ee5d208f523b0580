"""The endpoint and the folders of object storage."""

from tests.stores import server, store

__all__ = ["server", "store"]
