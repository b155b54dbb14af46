"""Kill the processes of this workload whose command line names a word: end.py WORD."""

import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        words = (entry / "cmdline").read_bytes().split(b"\0")
        if any(word.endswith(sys.argv[1].encode()) for word in words):
            os.kill(int(entry.name), signal.SIGKILL)
