"""What the control plane remembers over its own end, in the real store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tulle.app.notebook import Notebook
from tulle.model.agentapi import Instance, Phase
from tulle.source.database import StoreFullError
from tulle.source.store import SqliteStore

WEB = Instance(namespace="shop", name="web", phase=Phase.RUNNING, ready=True)


def test_addresses_and_instances_survive(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    notebook = Notebook(store)
    notebook.addresses["service/web.shop"] = "10.0.0.7"
    notebook.keep("local", ("shop", "web"), WEB)
    notebook.save()
    store.close()
    store = SqliteStore(tmp_path / "store.db")
    again = Notebook(store)
    assert again.addresses == {"service/web.shop": "10.0.0.7"}
    assert again.instances() == (("local", WEB),)
    again.keep("local", ("shop", "web"), None)
    del again.addresses["service/web.shop"]
    assert again.save()
    assert Notebook(store).instances() == ()
    assert Notebook(store).addresses == {}
    store.close()


def test_an_instance_of_another_version_is_left_out(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    store.remember(
        {
            "instance/local/shop/old": {"unheard": "of"},
            "instance/local/shop/web": WEB.model_dump(mode="json"),
        }
    )
    assert Notebook(store).instances() == (("local", WEB),)
    store.close()


class _Memory:
    """Takes what a test allows, and remembers what it was asked to write."""

    def __init__(self, refused: str = "") -> None:
        self.kept: dict[str, Any] = {}
        self.written: list[frozenset[str]] = []
        self.refused = refused

    def recall(self, prefix: str) -> dict[str, Any]:
        return {name[len(prefix) :]: value for name, value in self.kept.items() if name.startswith(prefix)}

    def remember(self, values: Mapping[str, Any]) -> None:
        if self.refused and any(name.startswith(self.refused) for name in values):
            raise StoreFullError("no room", "make some")
        self.written.append(frozenset(values))
        self.kept |= values


def test_only_what_changed_is_written() -> None:
    memory = _Memory()
    notebook = Notebook(memory)
    assert notebook.save()
    assert memory.written == []
    notebook.addresses |= {"a": "10.0.0.1", "b": "10.0.0.2"}
    notebook.keep("local", ("shop", "web"), WEB)
    assert notebook.save()
    notebook.addresses["b"] = "10.0.0.3"
    assert notebook.save()
    assert notebook.save()
    assert memory.written == [{"address/a", "address/b"}, {"instance/local/shop/web"}, {"address/b"}]


@pytest.mark.parametrize(("refused", "addresses", "instances"), [("instance/", 1, 0), ("address/", 0, 1)])
def test_addresses_are_saved_without_the_instances(refused: str, addresses: int, instances: int) -> None:
    memory = _Memory(refused)
    notebook = Notebook(memory)
    notebook.addresses["a"] = "10.0.0.1"
    notebook.keep("local", ("shop", "web"), WEB)
    assert not notebook.save()
    after_a_restart = Notebook(memory)
    assert len(after_a_restart.addresses) == addresses
    assert len(after_a_restart.instances()) == instances
    memory.refused = ""
    assert notebook.save(), "what could not be written is not forgotten"
    after_a_restart = Notebook(memory)
    assert after_a_restart.addresses == {"a": "10.0.0.1"}
    assert after_a_restart.instances() == (("local", WEB),)
