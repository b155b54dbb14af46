"""One go at changing one resource: the patches, and which of them found something to change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tulle.mesh.view import Origin
from tulle.mesh.view.patch import Patch
from tulle.xds.patch.match import Where
from tulle.xds.patch.merge import MergeError

MERGES = ("MERGE", "MERGE_AND_REPLACE_LIST")


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A patch with its value as a message of Envoy's; None for REMOVE."""

    patch: Patch
    value: Any

    @property
    def replaces_lists(self) -> bool:
        return self.patch.operation == "MERGE_AND_REPLACE_LIST"


class PatchError(ValueError):
    """A patch cannot be applied."""

    def __init__(self, origin: Origin, text: str) -> None:
        super().__init__(text)
        self.origin = origin


class Attempt:
    """What the functions that change things share."""

    def __init__(self, patches: Iterable[Ready], where: Where) -> None:
        self._patches = tuple(patches)
        self.where = where
        self.applied: dict[Origin, None] = {}
        """The patches that found something, in the order in which they first did."""

    def of(self, target: str) -> tuple[Ready, ...]:
        """The patches with this `applyTo`, in order."""
        return tuple(each for each in self._patches if each.patch.target == target)

    def did(self, ready: Ready) -> None:
        """It changed something."""
        self.applied[ready.patch.origin] = None

    def merge(self, ready: Ready, how: Any, target: Any) -> None:
        """Merge a patch's value by one of the functions of `merge.py`. Raises PatchError."""
        try:
            how(target, ready.value, ready.replaces_lists)
        except MergeError as error:
            raise PatchError(ready.patch.origin, str(error)) from None
        self.did(ready)
