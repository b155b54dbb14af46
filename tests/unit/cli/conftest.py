"""The command line against a fake control plane on a real socket."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.api.fake import FakeMesh, served
from tulle.agent.layout import Layout
from tulle.cli import main, place


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


Tulle = Callable[..., Done]


@pytest.fixture
def layout(monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A home and a run directory of the test's own; socket paths are short."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = Layout(home=folder / "home", run=folder, mesh="0" * 8)
        monkeypatch.setenv("TULLE_HOME", str(found.home))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(place, "layout_of", lambda *_: found)
        yield found


@pytest.fixture
def tulle(layout: Layout, capsys: pytest.CaptureFixture[str]) -> Tulle:
    def run(*arguments: str | Path) -> Done:
        capsys.readouterr()
        status = main.invoke([str(each) for each in arguments])
        return Done(status, *capsys.readouterr())

    return run


@pytest.fixture
def mesh(layout: Layout) -> Iterator[FakeMesh]:
    fake = FakeMesh()
    with served(fake, layout.api_socket):
        yield fake


@pytest.fixture
def route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with an HTTPRoute, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("route.yaml").write_text(ROUTE)
    return Path("route.yaml")


ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: reviews, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews}]
  rules:
  - backendRefs: [{name: reviews-v1, port: 9080}]
"""
