"""What a workload must not be able to do to its own network: prints each attempt and how it ended."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

SO_MARK = 36


def marks() -> str:
    with socket.socket() as made:
        try:
            made.setsockopt(socket.SOL_SOCKET, SO_MARK, int(sys.argv[1]))
        except PermissionError:
            return "refused"
    return "allowed"


def runs(*command: str) -> str:
    return "allowed" if subprocess.run(command, capture_output=True).returncode == 0 else "refused"


def status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


print(
    json.dumps(
        {
            "mark": marks(),
            "rules": runs("nft", "list", "ruleset"),
            "rules as root of another user namespace": runs("unshare", "-Ur", "nft", "list", "ruleset"),
            "interface": runs("ip", "link", "set", "eth0", "down"),
            "init's namespaces": runs("nsenter", "--target=1", "--net", "true"),
            "init's files": "allowed" if os.access("/proc/1/root/", os.X_OK) else "refused",
            "uid": os.getuid(),
            "capabilities": status()["CapEff"].strip("0") + status()["CapBnd"].strip("0"),
            "new privileges": status()["NoNewPrivs"],
            "seen": [each for each in sys.argv[2:] if Path(each).is_dir() and any(Path(each).iterdir())],
        }
    )
)
