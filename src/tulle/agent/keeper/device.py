# pyright: basic, reportMissingImports=false
"""The devices that a process sees: those that any program may expect, and no disk, memory or terminal of the
host. As the Open Container Initiative's "Default Devices" (runtime-spec, config-linux.md)."""

import os

from kernel import MS_BIND, MS_NOEXEC, MS_NOSUID, mount

NODES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def furnish(path):
    """Mount such a directory of devices at `path`, which is the one that the host's stand in."""
    # Bound rather than made: in a user namespace nobody can make a device.
    nodes = {each: os.open(f"{path}/{each}", os.O_PATH) for each in NODES if os.path.exists(f"{path}/{each}")}
    mount("tulle", path, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k")
    for name, descriptor in nodes.items():
        os.close(os.open(f"{path}/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{descriptor}", f"{path}/{name}", "", MS_BIND)
        os.close(descriptor)
    for name, target in LINKS.items():
        os.symlink(target, f"{path}/{name}")
    os.mkdir(f"{path}/shm", 0o1777)
    os.mkdir(f"{path}/pts", 0o755)
    # An instance of its own, with nobody's terminals in it (Documentation/filesystems/devpts.rst).
    mount("tulle", f"{path}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
