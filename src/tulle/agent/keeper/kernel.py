# pyright: basic, reportMissingImports=false
"""What the keeper asks of the kernel beyond Python's own `os`."""

import ctypes
import os
from contextlib import suppress

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_RELATIME = 4096, 8192, 16384, 1 << 18, 1 << 21
ST_RELATIME = 4096
KEPT_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048  # noatime, nodiratime: as statvfs shows them
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x4000000, 0x8000000, 0x20000000
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP = 1, 4, 8, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 38, 47, 2
CAPABILITY_VERSION_3 = 0x20080522

libc = ctypes.CDLL(None, use_errno=True)


class RefusedError(Exception):
    """The process cannot be started; the text is for a person and goes into the record."""


def checked(result, what):
    if result < 0:
        raise RefusedError(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, kind, flags, data=""):
    result = libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        os.fsencode(data) or None,
    )
    checked(result, f"cannot mount {kind or 'a file'} on {target}")


def seal(target):
    """Make a mount read-only, with the flags it has: a user namespace may not take any away."""
    has = os.statvfs(target).f_flag
    flags = has & KEPT_FLAGS | (MS_RELATIME if has & ST_RELATIME else 0)
    mount("none", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY | flags)


def give(path, had):
    """Give a file to the owner of another one, where this user namespace knows such a user."""
    for owner in ((had.st_uid, -1), (-1, had.st_gid)):
        with suppress(OSError):
            os.chown(path, *owner)


def start_time(pid):
    """Field 22 of /proc/pid/stat (proc(5)): with the pid and the boot it names a process for good."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])


def boot_id():
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
