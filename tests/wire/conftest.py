from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.wire.controlplane import ControlPlane


@pytest.fixture
async def controlplane(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    plane = ControlPlane(tmp_path)
    await plane.start()
    yield plane
    await plane.stop()
