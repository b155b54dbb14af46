"""What depends on something that a client refused. Read by `subscription.py`."""

from __future__ import annotations

from typing import Protocol

from tulle.ads.resource import Resource


class Content(Protocol):
    """What the client is to have (`cache.View`)."""

    def resource(self, type_url: str, name: str) -> Resource | None: ...

    def names(self, type_url: str) -> set[str]: ...

    def knows(self, type_url: str, name: str) -> bool: ...

    def knows_all(self, type_url: str) -> bool: ...


def names_one(content: Content, resource: Resource | None, names: tuple[bytes, ...]) -> bool:
    """Whether a resource, or one that it needs, has one of these names in it.

    A text stands in a message as its bytes (protobuf.dev, "Encoding"); a name that is part of another only
    makes this more careful than it need be.
    """
    if resource is None:
        return False
    needed = (content.resource(*key) for key in resource.needs)
    bodies = [resource.body, *(each.body for each in needed if each is not None)]
    return any(name in body for body in bodies for name in names)
