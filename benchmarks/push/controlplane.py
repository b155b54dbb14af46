"""The real control plane with a window in it: `tulle controlplane`, whose counters can be read.

Nothing of it is replaced: its discovery server and its pipeline are watched from subclasses. Who connects to
the Unix socket named by TULLE_BENCHMARK_WINDOW is told what was counted, by a thread that sleeps otherwise.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tulle.ads.server import Server
from tulle.ads.status import NodeStatus
from tulle.app import controlplane
from tulle.app.pipeline import Pipeline
from tulle.cli.main import main


class Window:
    """What is counted."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.synced: set[str] = set()
        self.started_at = time.monotonic()
        self.serving_at = 0.0
        """When the first node was heard of; all times are of CLOCK_MONOTONIC, which processes share."""
        self.first_at = 0.0
        """When the first node came into sync."""
        self.settled_at = 0.0
        """When a node last came into sync."""
        self.turn_seconds: list[float] = []

    def note(self, status: NodeStatus) -> None:
        self.serving_at = self.serving_at or time.monotonic()
        if status.node.startswith("host:"):
            return
        if status.state == "synced":
            self.synced.add(status.node)
            self.settled_at = time.monotonic()
            self.first_at = self.first_at or self.settled_at
        else:
            self.synced.discard(status.node)

    def content(self) -> dict[str, Any]:
        server = self.server
        return {
            "pid": os.getpid(),
            "synced": len(self.synced),
            "started_at": self.started_at,
            "serving_at": self.serving_at,
            "first_at": self.first_at,
            "settled_at": self.settled_at,
            "turns": len(self.turn_seconds),
            "turn_seconds": self.turn_seconds,
            "messages": server.sent_messages if server else 0,
            "bytes": server.sent_bytes if server else 0,
            "serialised": server.encoder.serialised if server else 0,
            "cpu_seconds": time.process_time(),
        }

    def serve(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            while True:
                with listener.accept()[0] as asked:
                    asked.sendall(json.dumps(self.content()).encode())


_window = Window()


class _WatchedServer(Server):
    def __init__(self, *arguments: Any, observe: Callable[[NodeStatus], None], **options: Any) -> None:
        def told(status: NodeStatus) -> None:
            _window.note(status)
            observe(status)

        super().__init__(*arguments, observe=told, **options)
        _window.server = self


class _WatchedPipeline(Pipeline):
    def turn(self) -> int:
        began = time.perf_counter()
        revision = super().turn()
        _window.turn_seconds.append(time.perf_counter() - began)
        return revision


if __name__ == "__main__":
    vars(controlplane).update(Server=_WatchedServer, Pipeline=_WatchedPipeline)
    socket_path = Path(os.environ["TULLE_BENCHMARK_WINDOW"])
    threading.Thread(target=_window.serve, args=(socket_path,), daemon=True).start()
    sys.argv = ["tulle", "controlplane", *sys.argv[1:]]
    main()
