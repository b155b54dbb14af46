"""Writes kernel settings of the network namespace in which it is started.

Run as a program (`python -I -S sysctl.py net/ipv4/ip_forward=1 ...`) under `unshare --net` or `nsenter
--net`: /proc/sys/net shows the namespace of whoever opens it. Standard library only.
"""

import sys


def write(settings):  # type: ignore[no-untyped-def]  # started for every workload: `typing` costs memory and time
    for setting in settings:
        name, _, value = setting.partition("=")
        with open("/proc/sys/" + name, "w") as file:  # noqa: PTH123  pathlib doubles the start-up time
            file.write(value)


if __name__ == "__main__":
    try:
        write(sys.argv[1:])
    except OSError as error:
        sys.exit(f"cannot write the kernel setting {error.filename}: {error.strerror}")
