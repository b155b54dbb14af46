# pyright: basic, reportMissingImports=false
"""Runs a command inside the namespaces of a workload that runs. A program; the agent never imports it.

`python -I -S enter.py DESCRIPTOR`: the descriptor is an open file with the spec, so that neither the
environment nor anything secret stands in the list of processes; the standard streams are the caller's.

Privileges are given up by this code, which was read before the workload's files came into sight. A program
that stood at a path of the workload's (its own `setpriv` in a volume on /usr/bin) would run with all of them.
So nothing is imported, and no file is opened, between the two.
"""

import json
import os
import signal
import sys
from contextlib import suppress

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves it out

from child import drop_privileges, find, nest
from kernel import PR_SET_PDEATHSIG, RefusedError, checked, libc

NAMESPACES = ("net", "ipc", "uts", "pid", "mnt")
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
NOT_RUN, NOT_FOUND = 126, 127


def enter(spec):
    """Run the command and return its exit status, 128 and its number for a signal, as a shell does."""
    theirs = f"/proc/{spec['pid']}/ns/"
    opened = {name: os.open(theirs + name, os.O_RDONLY | os.O_CLOEXEC) for name in NAMESPACES}
    if spec["nested"] and not os.path.samefile(theirs + "user", "/proc/self/ns/user"):
        # From the user's terminal: the owner of a user namespace may enter it, and has all rights in it.
        owned = os.open(theirs + "user", os.O_RDONLY | os.O_CLOEXEC)
        checked(libc.setns(owned, 0), "cannot enter the user namespace")
    for name in NAMESPACES[:-1]:
        checked(libc.setns(opened[name], 0), f"cannot enter the {name} namespace")
    # Of the caller's: a name in the workload's may lead anywhere.
    processes = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        become(spec, opened["mnt"], processes)
    for number in PASSED_ON:
        signal.signal(number, lambda got, _frame: os.kill(child, got))
    for number in (signal.SIGINT, signal.SIGQUIT):  # the terminal sends them to both
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def become(spec, mounts, processes):
    """In the child: enter the mount namespace, give up what is not the workload's, and execute."""
    try:
        checked(libc.setns(mounts, 0), "cannot enter the mnt namespace")
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them
            signal.signal(number, signal.SIG_DFL)
        if spec["nested"]:
            nest(spec, processes)
        drop_privileges(spec)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        try:
            os.chdir(spec["workdir"] or "/")
        except OSError as error:
            raise RefusedError(f"cannot enter the directory {spec['workdir']}: {error.strerror}") from None
        path = find(spec["argv"][0], spec["env"].get("PATH", os.defpath))
        os.execve(path, spec["argv"], spec["env"])  # noqa: S606  a shell is what is not wanted
    except RefusedError as error:
        os.write(2, f"{error}\n".encode())
        os._exit(NOT_FOUND if "not found" in str(error) else NOT_RUN)
    except OSError as error:
        os.write(2, f"cannot run {spec['argv'][0]}: {error.strerror}\n".encode())
        os._exit(NOT_RUN)
    finally:
        os._exit(NOT_RUN)


def close_others():
    """The caller's other descriptors are not the workload's."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # that of the listing itself is closed by now
                os.close(int(name))


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1])) as file:
        file.seek(0)
        wanted = json.load(file)
    close_others()
    try:
        sys.exit(enter(wanted))
    except (RefusedError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(NOT_RUN)
