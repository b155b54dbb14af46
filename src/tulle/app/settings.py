"""What the composition roots are told by the command line and the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpOptions:
    """`tulle up`, already checked: the paths exist."""

    paths: tuple[Path, ...]
    home: Path
    images: Path | None = None
    """A YAML mapping from image pattern to command line."""
    detach: bool = False
    """Return when everything is ready and leave the mesh running."""
    watch: bool = False
    """Apply the files again whenever they change."""
    timeout_seconds: float = 60.0
