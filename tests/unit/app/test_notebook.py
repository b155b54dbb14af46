"""What the control plane remembers over its own end, in the real store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    again.save()
    assert Notebook(store).instances() == ()
    store.close()


def test_an_instance_of_another_version_is_left_out(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    saved = {
        "instance local shop api": {"unheard": "of"},
        "instance local shop web": WEB.model_dump(mode="json"),
    }
    store.remember(saved)
    assert Notebook(store).instances() == (("local", WEB),)
    store.close()


def test_what_has_changed_is_written_and_nothing_else(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    written: list[set[str]] = []

    class Watched:
        recall, recall_all = store.recall, store.recall_all

        def remember(self, values: Mapping[str, Any]) -> None:
            written.append(set(values))
            store.remember(values)

    notebook = Notebook(Watched())
    notebook.save()
    assert written == []
    for name in ("web", "api"):
        notebook.keep("local", ("shop", name), WEB.model_copy(update={"name": name}))
    notebook.save()
    notebook.keep("local", ("shop", "api"), None)
    notebook.save()
    notebook.save()
    both = {"instance local shop web", "instance local shop api"}
    assert written == [both, {"instance local shop api"}]
    store.close()


def test_what_a_full_disk_refuses_is_written_the_next_time(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    full = [True, False]

    class Full:
        recall, recall_all = store.recall, store.recall_all

        def remember(self, values: Mapping[str, Any]) -> None:
            if full.pop(0):
                raise StoreFullError("the disk is full", "make room")
            store.remember(values)

    notebook = Notebook(Full())
    notebook.addresses["service/web.shop"] = "10.0.0.7"
    notebook.keep("local", ("shop", "web"), WEB)
    notebook.save()
    assert Notebook(store).instances() == ()
    notebook.save()
    assert Notebook(store).instances() == (("local", WEB),)
    assert Notebook(store).addresses == {"service/web.shop": "10.0.0.7"}
    store.close()
