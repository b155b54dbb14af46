# pyright: basic, reportMissingImports=false
"""The files that a process sees: arranges the mounts of its mount namespace."""

import os
import stat
from binascii import a2b_base64

from device import furnish
from kernel import MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC, RefusedError, give, mount, seal

SYSTEM = ("/usr", "/etc", "/boot", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys")
"""Nobody writes there, as with ProtectSystem=full of systemd.exec(5): a process may be uid 0, which owns the
files, without any capability."""


class View:
    """Carries out what `mounts.py` planned. No file of the host is changed.

    `hide`: directories, an outer before an inner one: an empty tmpfs over each, (`devices`) one with what any
    program may expect in /dev, or (`keep`) what the host has there, visible again. `place`: files and
    directories at paths that need not exist; they are as writable as they ask, also below the directories of
    `SYSTEM`, which are read-only.
    """

    def __init__(self, spec):
        self.spec = spec
        self.private = {"/": False}  # mount points, and whether what is made in them is seen by nobody else
        self.placed = {}  # mount points of placements, and whether they shall be read-only
        self.sources = {}  # path on the host -> descriptor of what stands there
        self.count = 0

    def arrange(self):
        for item in (*self.spec["hide"], *self.spec["place"]):
            source = item.get("keep") or item.get("source")
            if source and os.path.exists(source):
                # By descriptor: later mounts may cover the path.
                self.sources[source] = os.open(source, os.O_PATH)
        system = [path for path in SYSTEM if os.path.isdir(path) and not os.path.islink(path)]
        for path in system:
            mount(path, path, "", MS_BIND | MS_REC)
        # Files are prepared in a tmpfs of our own, which the masks cover later.
        mount("tulle", self.spec["stage"], "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
        self.stage = os.open(self.spec["stage"], os.O_PATH)
        for item in self.spec["hide"]:
            if "devices" in item:
                furnish(item["devices"])
                self.private[item["devices"]] = True
            elif "keep" in item:
                if item["keep"] in self.sources:
                    kept = self.by_descriptor(self.sources[item["keep"]])
                    self.bind(kept, self.provide(item["keep"], kept), private=False)
            elif os.path.isdir(item["empty"]):
                mount("tulle", item["empty"], "tmpfs", MS_NOSUID | MS_NODEV, f"mode={item['mode']:o}")
                self.private[os.path.realpath(item["empty"])] = True
        for item in self.spec["place"]:
            if item.get("source") in self.sources or "source" not in item:
                # All mount points first: to make one may cover what is mounted beside it.
                self.provide(item["path"], self.kind(item))
        for item in self.spec["place"]:
            if "source" in item:
                if item["source"] not in self.sources:
                    raise RefusedError(f"{item['source']} is not there")
                made = self.by_descriptor(self.sources[item["source"]])
            else:
                made = self.prepare(item)
            target = self.provide(item["path"], self.kind(item))
            self.bind(made, target, private=True)
            self.placed[target] = item.get("read_only", False)
        for target in (*self.system_mounts(system), *(path for path in self.placed if self.placed[path])):
            seal(target)
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("/proc/sys", "/proc/sys", "", MS_BIND)
        seal("/proc/sys")
        for descriptor in (*self.sources.values(), self.stage):
            os.close(descriptor)

    def kind(self, item):
        """A path of the same kind (file or directory) as what will be placed."""
        if item.get("source") in self.sources:
            return self.by_descriptor(self.sources[item["source"]])  # its own path may be hidden by now
        return "/dev/null" if "content" in item or "only" in item else "/"

    def by_descriptor(self, descriptor):
        return f"/proc/self/fd/{descriptor}"

    def prepare(self, item):
        """Write the file or the tree of files of a placement; returns where."""
        self.count += 1
        path = f"{self.by_descriptor(self.stage)}/{self.count}"
        if "content" in item:
            self.write(path, item["content"].encode("utf-8", "surrogateescape"))
            return path
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103  whoever the process runs as reads it
        for name, content in item["files"]:
            file = os.path.join(path, name)
            folder = os.path.dirname(file)
            os.makedirs(folder, exist_ok=True)
            self.write(file, a2b_base64(content))
        if "only" in item:
            return os.path.join(path, item["only"])
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o755)  # noqa: S103
        return path

    def write(self, path, content):
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o644)

    def bind(self, source, target, private):
        mount(source, target, "", MS_BIND | MS_REC)
        self.private[target] = private

    def provide(self, path, like):
        """A mount point at `path`, made where there is none; returns it without symbolic links."""
        target = os.path.realpath(path)
        directory = stat.S_ISDIR(os.stat(like).st_mode) if os.path.exists(like) else True
        if os.path.exists(target):
            if os.path.isdir(target) != directory:
                kinds = ("a file", "a directory")
                raise RefusedError(
                    f"cannot mount {kinds[directory]} on {path}: there is {kinds[not directory]}"
                )
            return target
        parent = os.path.dirname(target)
        while not os.path.isdir(parent):
            if os.path.exists(parent):
                raise RefusedError(f"cannot mount {path}: {parent} is not a directory")
            parent = os.path.dirname(parent)
        if not self.is_private(parent):
            self.cover(parent)
        folder = target if directory else os.path.dirname(target)
        mask = os.umask(0o022)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        if not directory:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        os.umask(mask)
        return target

    def is_private(self, path):
        while path not in self.private:
            path = os.path.dirname(path)
        return self.private[path]

    def cover(self, parent):
        """Put a private layer over a directory of the host, which shows the same and takes new names."""
        if parent == "/":
            self.copy_root()
        elif self.has_mounts(parent) or not self.overlay(parent):
            mount(self.mirror(parent), parent, "", MS_MOVE)
        self.private[parent] = True

    def has_mounts(self, parent):
        """Whether something is mounted below, which an overlay would not show."""
        return any(point != parent and is_below(point, parent) for _, point in mounts())

    def system_mounts(self, system):
        """Where to seal: every mount in the system's directories but the placements and what is in them."""
        found = []
        for number, point in mounts():
            inside = [path for path in system if is_below(point, path)]
            if inside and not any(is_below(point, path) for path in self.placed) and shows(point, number):
                found.append(point)
        return found

    def overlay(self, parent):
        self.count += 1
        upper = f"{self.by_descriptor(self.stage)}/{self.count}"
        for folder in (upper, upper + "/upper", upper + "/work"):
            os.mkdir(folder)
        had = os.stat(parent)
        give(upper + "/upper", had)
        os.chmod(upper + "/upper", stat.S_IMODE(had.st_mode))
        lower = os.open(parent, os.O_PATH)
        options = f"lowerdir={self.by_descriptor(lower)},upperdir={upper}/upper,workdir={upper}/work"
        try:
            mount("tulle", parent, "overlay", MS_NOSUID | MS_NODEV, options)
        except RefusedError:
            return False  # a kernel without overlay, or a file system that cannot be its lower layer
        finally:
            os.close(lower)
        return True

    def mirror(self, parent):
        """A tmpfs in which each entry of the directory is bound; returns where."""
        self.count += 1
        path = f"{self.by_descriptor(self.stage)}/{self.count}"
        os.mkdir(path)
        had = os.stat(parent)
        mount("tulle", path, "tmpfs", MS_NODEV, f"mode={stat.S_IMODE(had.st_mode):o}")
        give(path, had)
        for entry in os.scandir(parent):
            point = f"{path}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), point)
                continue
            if entry.is_dir():
                os.mkdir(point)
                self.private.setdefault(os.path.realpath(entry.path), False)
            else:
                os.close(os.open(point, os.O_CREAT | os.O_WRONLY, 0o644))
            mount(entry.path, point, "", MS_BIND | MS_REC)
        return path

    def copy_root(self):
        """New names directly under / need a new root; the old one stays below it, out of reach."""
        os.chdir(self.mirror("/"))
        mount(".", "/", "", MS_MOVE)
        os.chroot(".")
        os.chdir("/")


def mounts():
    """(id, mount point) of every mount, also of those that others cover (proc(5), mountinfo)."""
    with open("/proc/self/mountinfo", "rb") as file:
        lines = [line.split() for line in file]
    return [(int(line[0]), unescaped(line[4])) for line in lines]


def unescaped(point):
    """A mount point as the kernel writes it. Without a codec: a volume may hide the folder that it would be
    imported from."""
    for code in (b"040", b"011", b"012", b"134"):  # space, tab, newline; the backslash at last
        point = point.replace(b"\\" + code, bytes([int(code, 8)]))
    return os.fsdecode(point)


def is_below(path, directory):
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def shows(point, number):
    """Whether the mount is what one finds at its mount point, rather than one that covers it."""
    try:
        descriptor = os.open(point, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            return any(line.split() == ["mnt_id:", str(number)] for line in file)
    finally:
        os.close(descriptor)
