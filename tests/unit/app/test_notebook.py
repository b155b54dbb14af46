"""What the control plane remembers over its own end, in the real store."""

from pathlib import Path

from tulle.app.notebook import Notebook
from tulle.model.agentapi import Instance, Phase
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
    again.save()
    assert Notebook(store).instances() == ()
    store.close()


def test_an_instance_of_another_version_is_left_out(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    store.remember("instances", [["local", {"unheard": "of"}], ["local", WEB.model_dump(mode="json")]])
    assert Notebook(store).instances() == (("local", WEB),)
    store.close()


def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    notebook = Notebook(store)
    notebook.save()
    assert store.recall("addresses") is None
    assert store.recall("instances") is None
    store.close()
