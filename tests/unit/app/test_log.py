"""What a daemon says where nobody can write it down."""

import subprocess
import sys

PROGRAM = """
import os, sys, structlog
from tulle.app.log import configure
from tulle.kit import native_log
full = os.open("/dev/full", os.O_WRONLY)
before = os.dup(2)
os.dup2(full, 2)
native_log.say_once()
configure()
log = structlog.get_logger("test")
for number in range(5000):
    log.warning("lost", number=number, text="x" * 100)
    os.write(2, b"native line %d\\n" % number)
os.write(before, b"still here\\n")
"""


def test_a_full_disk_ends_no_daemon_and_blocks_none() -> None:
    """More than a pipe holds is written: nobody waits for a thread that has ended."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "still here\n")
