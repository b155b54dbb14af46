"""Where a mesh keeps its things."""

from __future__ import annotations

from pathlib import Path

import pytest

from tulle.agent.layout import Layout, LayoutError, layout, process_name, proxy_process_name

HOME = Path("/var/lib/tulle")


def test_root_and_others_have_different_run_directories() -> None:
    root = layout(HOME, 0, {})
    assert root.run.parent == Path("/run/tulle")
    assert root.run.name == root.mesh
    assert layout(HOME, 1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}).run.parent == Path(
        "/run/user/1000/tulle"
    )


def test_without_a_runtime_directory_it_says_what_to_do() -> None:
    with pytest.raises(LayoutError, match="XDG_RUNTIME_DIR is not set"):
        layout(HOME, 1000, {})


def test_a_run_directory_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(LayoutError, match="too long"):
        layout(HOME, 1000, {"XDG_RUNTIME_DIR": "/" + "x" * 60})


def test_two_homes_share_no_name() -> None:
    one, other = layout(Path("/a"), 0, {}), layout(Path("/b"), 0, {})
    assert one.run != other.run
    assert one.host_interface != other.host_interface
    assert one.host_table != other.host_table


def test_names_of_interfaces_fit() -> None:
    paths = layout(HOME, 0, {})
    assert len(paths.host_interface) <= 15
    assert len(paths.workload_interface("n" * 63, "w" * 253, "i" * 64)) <= 15


def test_sockets_of_any_workload_fit() -> None:
    paths = layout(HOME, 1000, {"XDG_RUNTIME_DIR": "/run/user/1000"})
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
