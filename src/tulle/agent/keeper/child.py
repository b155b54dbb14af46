# pyright: basic, reportMissingImports=false
"""The process that becomes the command: gives up its privileges and executes it."""

import ctypes
import os
import signal

from kernel import (
    CAPABILITY_VERSION_3,
    CLONE_NEWUSER,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    RefusedError,
    checked,
    libc,
)

with open("/proc/sys/kernel/cap_last_cap") as _file:  # now: later the files in sight are the workload's
    LAST_CAPABILITY = int(_file.read())
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")
"""What the init passes on to the child."""


def execute(spec, output):
    """Become the command. Raises RefusedError or OSError; does not return."""
    signal.set_wakeup_fd(-1)
    for name in (*FORWARDED, "SIGCHLD", "SIGPIPE", "SIGXFSZ"):  # the interpreter ignores the last two
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.umask(0o022)
    if spec["raise_files"]:
        import resource  # for proxies only

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if spec["nested"]:
        nest(spec, os.open("/proc", os.O_PATH | os.O_CLOEXEC))
    else:
        # Whoever opens /dev/stdout has to own the pipe (as container runtimes do it).
        os.fchown(output, spec["uid"], spec["gid"])
    drop_privileges(spec)
    try:
        os.chdir(spec["workdir"] or "/")
    except OSError as error:
        raise RefusedError(
            f"cannot enter the working directory {spec['workdir']}: {error.strerror}"
        ) from None
    os.environ.clear()
    argv = spec["argv"]
    path = find(argv[0], spec["env"].get("PATH", os.defpath))
    try:
        os.execve(path, argv, spec["env"])  # noqa: S606  a shell is what is not wanted
    except FileNotFoundError:
        raise RefusedError(f"cannot run {path}: the interpreter in its first line is not there") from None
    except OSError as error:
        raise RefusedError(f"cannot run {path}: {error.strerror}") from None


def find(command, path):
    """The file that the command names, as execvp(3) finds it."""
    candidates = (
        [command] if "/" in command else [os.path.join(part or ".", command) for part in path.split(":")]
    )
    there = [candidate for candidate in candidates if os.path.isfile(candidate)]
    for candidate in there:
        if os.access(candidate, os.X_OK):
            return candidate
    if there:
        raise RefusedError(f"command is not executable: {there[0]}")
    raise RefusedError(f"command not found: {command}")


def nest(spec, processes):
    """Go to a user namespace where whoever the mesh runs as has the user's numbers.

    `processes`: a descriptor of a process file system, the mesh's own.
    """
    uid, gid = os.getuid(), os.getgid()
    checked(libc.unshare(CLONE_NEWUSER), "cannot make a user namespace")
    # Without setgroups first: an unprivileged process may not map a group otherwise (user_namespaces(7)).
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{spec['uid']} {uid} 1"),
        ("gid_map", f"{spec['gid']} {gid} 1"),
    ):
        descriptor = os.open("self/" + name, os.O_WRONLY, dir_fd=processes)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def drop_privileges(spec):
    """Become the user, with the capabilities of the spec and no way to get more."""
    keep = spec["capabilities"]
    for capability in range(LAST_CAPABILITY + 1):
        if capability not in keep:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    checked(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "cannot keep capabilities")
    if spec["groups"] is not None:
        os.setgroups(spec["groups"])
    os.setresgid(spec["gid"], spec["gid"], spec["gid"])
    os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    mask = sum(1 << capability for capability in keep)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    checked(libc.capset(header, sets), "cannot set capabilities")
    for capability in keep:
        checked(
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "cannot keep capabilities"
        )
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "cannot give up privileges for good")
