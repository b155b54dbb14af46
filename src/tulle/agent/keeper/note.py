# pyright: basic, reportMissingImports=false
"""What the keeper writes to disk, by descriptors of the directories: the init has masked their paths."""

import errno
import json
import os
from contextlib import suppress


class Record:
    """`record.json`, by a descriptor of its directory: the init has masked the path."""

    def __init__(self, spec):
        self.directory = os.open(spec["directory"], os.O_RDONLY | os.O_DIRECTORY)
        self.content = {"process": spec["process"], "tag": spec["tag"]}

    def begin(self, **changes):
        """Write the first record. Raises OSError: a process that nobody could find again must not run."""
        self.content.update(changes)
        self._replace()

    def write(self, **changes):
        self.content.update(changes)
        with suppress(OSError):
            self._replace()

    def _replace(self):
        text = json.dumps(self.content).encode()
        try:
            self._put(".record.json", text, os.O_CREAT | os.O_TRUNC)
            os.rename(".record.json", "record.json", src_dir_fd=self.directory, dst_dir_fd=self.directory)
            os.fsync(self.directory)
        except OSError as full:
            # The block of the record before is still there, also that of a process that has ended and is
            # started again. White space behind JSON means nothing.
            try:
                self._put("record.json", text.ljust(4096), 0)
            except OSError:
                raise full from None

    def _put(self, name, text, flags):
        descriptor = os.open(name, os.O_WRONLY | flags, 0o600, dir_fd=self.directory)
        try:
            if os.write(descriptor, text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Log:
    """What the process writes, in a file and its predecessor of at most `limit` bytes each."""

    def __init__(self, path, limit):
        folder, self.name = os.path.split(path)
        self.directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.limit = limit
        self.open()

    def open(self):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self.file = os.open(self.name, flags, 0o600, dir_fd=self.directory)
        self.size = os.fstat(self.file).st_size

    def write(self, data):
        try:
            if self.size and self.size + len(data) > self.limit:
                os.close(self.file)
                older = self.name + ".1"
                os.rename(self.name, older, src_dir_fd=self.directory, dst_dir_fd=self.directory)
                self.open()
            self.size += os.write(self.file, data)
        except OSError:
            pass  # a full disk costs output, not the process
