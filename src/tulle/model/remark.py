"""What a document alone is warned about: it is taken, and does not do what it seems to say.

Models yield remarks (`Model.remarks`), with fields as seen from themselves; `admit.py` collects them. They
are what the specification's own validation warns about.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning in the making."""

    field: str
    """The path from the model that says it."""
    code: str
    message: str
    remedy: str
