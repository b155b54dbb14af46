"""Which kind a word on the command line means: `httproutes`, `vs`, `gateway.networking.istio.io`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tulle.cli.failure import Failure, usage

if TYPE_CHECKING:
    from tulle.model.kinds import Kind


def kinds(word: str) -> tuple[Kind, ...]:
    """All kinds of that name: a Gateway is one of Gateway API and one of Istio. Raises Failure."""
    from tulle.model.kinds import named, similar  # every kind's model: what names no kind does without

    found = named(word)
    if found:
        return found
    alike = similar(word.partition(".")[0])
    remedy = f"did you mean {' or '.join(alike)}?" if alike else "write a kind such as httproute, svc or vs"
    raise usage(f"there is no kind '{word}'", remedy)


def full(kind: Kind) -> str:
    """The name that means this kind alone: `gateway.networking.istio.io`."""
    return f"{kind.kind.lower()}.{kind.group}" if kind.group else kind.kind.lower()


def ambiguous(word: str, found: Sequence[Kind]) -> Failure:
    """Two objects of one name, of kinds of one name."""
    names = " or ".join(full(each) for each in found)
    return usage(f"'{word}' may mean {len(found)} kinds here", f"write {names}")


def one_object(words: Sequence[str]) -> tuple[str, str]:
    """(kind, name) of `KIND NAME` or `KIND/NAME`. Raises Failure."""
    parts = words[0].split("/", 1) if len(words) == 1 else list(words)
    if len(parts) != 2 or not all(parts):
        raise usage("this needs one kind and one name", "write KIND NAME, for example: httproute reviews")
    return parts[0], parts[1]
