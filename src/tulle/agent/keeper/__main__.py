# pyright: basic, reportMissingImports=false
"""The keeper: init of one process's namespaces. A program; the agent never imports it.

`python -I -S keeper DIRECTORY TAG < SPEC`, inside the network namespace that the process shall have. It is
small on purpose (standard library, no threads, no typing): one stays with every workload and every proxy, and
nothing that it does depends on the agent, which may die and come back (decision 2). `process.py` writes the
spec, `record.py` reads the record; their keys are described there. The arguments are for those who look for
keepers in /proc: `cleanup.py`, an agent that finds a damaged record, and people with `ps`.

Three processes: the *starter* makes new pid, mount, IPC and UTS namespaces, forks, writes the record (or ends
the init, which waits for that) and ends; the *init*, first in the pid namespace, arranges the mounts,
collects output, reaps and notes how it ended; the *child* gives up its privileges and executes the command.
"""

import json
import os
import signal
import sys
import time

from init import init
from kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    RefusedError,
    boot_id,
    checked,
    libc,
    start_time,
)
from note import Log, Record


def start(spec):
    """Fork the init into new namespaces, write its record, and wait until the command runs or has failed."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(0o077)
    os.makedirs(spec["directory"], exist_ok=True)
    os.makedirs(os.path.dirname(spec["log"]), exist_ok=True)
    record = Record(spec)
    log = Log(spec["log"], spec["log_bytes"])
    checked(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS), "cannot make namespaces")
    go_read, go_write = os.pipe()
    done_read, done_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(done_read)
        started = os.read(go_read, 4096)
        os.close(go_read)
        if not started:
            os._exit(1)  # the starter died before it noted who this is
        record.content = json.loads(started)
        os._exit(init(spec, record, log, done_write))
    os.close(done_write)
    try:
        record.begin(pid=pid, start=start_time(pid), boot=boot_id(), started=time.time())
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise RefusedError(f"cannot write its record: {error.strerror}") from None
    os.write(go_write, json.dumps(record.content).encode())
    os.read(done_read, 1)


if __name__ == "__main__":
    try:
        start(json.load(sys.stdin))
    except (RefusedError, OSError) as error:
        sys.exit(str(error))
