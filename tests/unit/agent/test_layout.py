"""Where a mesh keeps its things."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tulle.agent.layout import Layout, LayoutError, layout, process_name, proxy_process_name

HOME = Path("/var/lib/tulle")


NOBODY = 4_000_000_000
"""A user id without a directory below /run/user."""


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a shorter path than `tmp_path`."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_root_and_others_have_different_run_directories(short: Path) -> None:
    root = layout(HOME, 0, {})
    assert root.run.parent == Path("/run/tulle")
    assert root.run.name == root.mesh
    assert layout(HOME, NOBODY, {"XDG_RUNTIME_DIR": str(short)}).run == short / "tulle" / root.mesh


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "/run/user/gone"}])
def test_without_a_runtime_directory_the_sockets_stand_in_the_home(environ: dict[str, str]) -> None:
    assert layout(HOME, NOBODY, environ).run == HOME / "run"


def test_a_mesh_that_stands_in_its_home_is_found_from_any_terminal(short: Path) -> None:
    (short / "run").mkdir()
    assert layout(short, NOBODY, {"XDG_RUNTIME_DIR": str(short)}).run == short / "run"


def test_a_run_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    with pytest.raises(LayoutError, match=r"too long .* shorter XDG_RUNTIME_DIR"):
        layout(HOME, NOBODY, {"XDG_RUNTIME_DIR": str(long)})
    with pytest.raises(LayoutError, match=r"too long .* shorter TULLE_HOME"):
        layout(long, NOBODY, {})


def test_two_homes_share_no_name() -> None:
    one, other = layout(Path("/a"), 0, {}), layout(Path("/b"), 0, {})
    assert one.run != other.run
    assert one.host_interface != other.host_interface
    assert one.host_table != other.host_table


def test_names_of_interfaces_fit() -> None:
    paths = layout(HOME, 0, {})
    assert len(paths.host_interface) <= 15
    assert len(paths.workload_interface("n" * 63, "w" * 253, "i" * 64)) <= 15


@pytest.mark.parametrize("run", ["/run/user/1000/tulle/00112233", f"/home/{'n' * 20}/.local/state/tulle/run"])
def test_sockets_of_any_workload_fit(run: str) -> None:
    paths = Layout(home=HOME, run=Path(run), mesh="00112233", rootless=True)
    for name in ("a", "w" * 253):
        assert len(str(paths.admin_socket("n" * 63, name))) <= 107


def test_long_names_stay_apart() -> None:
    paths = layout(HOME, 0, {})
    assert paths.proxy("n" * 63, "w" * 200) != paths.proxy("n" * 63, "w" * 201)
    assert process_name("n" * 63, "w" * 250, "a") != process_name("n" * 63, "w" * 250, "b")
    assert proxy_process_name("shop", "reviews") == "shop.reviews._proxy"


def test_a_namespace_is_another_for_each_incarnation() -> None:
    paths = Layout(home=HOME, run=Path("/run/x"), mesh="00112233")
    assert paths.namespace("shop", "a", "one") != paths.namespace("shop", "a", "two")
    assert paths.workload_interface("shop", "a", "one") != paths.workload_interface("shop", "a", "two")
