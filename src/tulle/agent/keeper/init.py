# pyright: basic, reportMissingImports=false
"""First process of the pid namespace: collects output, passes signals on, reaps, and notes how it ended."""

import os
import select
import signal
import time
from contextlib import suppress

from child import FORWARDED, execute
from kernel import MS_PRIVATE, MS_REC, PR_SET_DUMPABLE, RefusedError, checked, libc, mount
from view import View

EXEC_FAILED = 127


def init(spec, record, log, done):
    """First process of the pid namespace. Returns its own exit status."""
    keeper = Init(spec, record, log)
    try:
        keeper.arrange()
        if spec["argv"]:
            keeper.spawn()
    except (RefusedError, OSError) as error:
        keeper.record.write(error=str(error), finished=time.time())
        return 1
    except Exception as error:
        keeper.record.write(error=f"{type(error).__name__}: {error}", finished=time.time())
        return 1
    os.close(done)
    return keeper.collect() if spec["argv"] else keeper.idle()


class Init:
    def __init__(self, spec, record, log):
        self.spec = spec
        self.record = record
        self.log = log
        self.child = 0
        self.stopping = 0
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self.forward)

    def forward(self, number, _frame):
        if self.child:
            os.kill(self.child, number)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self.stopping = number

    def arrange(self):
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        hostname = self.spec["hostname"].encode()
        if hostname:
            checked(libc.sethostname(hostname, len(hostname)), "cannot set the host name")
        View(self.spec).arrange()

    def spawn(self):
        """Fork the child; returns when it has executed the command. Raises RefusedError with its reason."""
        self.output, output = os.pipe()
        failure, report = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            try:
                execute(self.spec, output)
            except (RefusedError, OSError) as error:
                os.write(report, str(error).encode())
            finally:
                os._exit(EXEC_FAILED)
        os.close(output)
        os.close(report)
        if self.stopping:
            os.kill(self.child, self.stopping)
        message = b""
        while piece := os.read(failure, 4096):
            message += piece
        os.close(failure)
        if message:
            os.waitpid(self.child, 0)
            raise RefusedError(message.decode(errors="replace"))

    def collect(self):
        """Write output and reap until the child ends; then end with all that it left behind."""
        poll = select.poll()
        poll.register(self.woken, select.POLLIN)
        poll.register(self.output, select.POLLIN)
        os.set_blocking(self.output, False)
        status = None
        while status is None:
            for descriptor, _ in poll.poll():
                if descriptor == self.woken:
                    drain(self.woken)
                    status = self.reap()
                elif self.copy() == b"":
                    poll.unregister(self.output)  # closed by everybody; the child may go on without
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            pass
        while self.copy():
            pass
        if os.WIFSIGNALED(status):
            self.record.write(signal=os.WTERMSIG(status), finished=time.time())
        else:
            self.record.write(exit=os.WEXITSTATUS(status), finished=time.time())
        return 0

    def copy(self):
        """Move output to the log. Empty at its end, None when there is none now."""
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return None
        if data:
            self.log.write(data)
        return data

    def reap(self):
        """The child's wait status once it has ended."""
        found = None
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self.child:
                    found = status
        except ChildProcessError:
            pass
        return found

    def idle(self):
        """Hold the namespaces for processes that enter them; when told to stop, end after them."""
        poll = select.poll()
        poll.register(self.woken, select.POLLIN)
        while not self.stopping:
            poll.poll()
            drain(self.woken)
            self.reap()
        with suppress(ProcessLookupError):
            os.kill(-1, self.stopping)
        while any(name.isdigit() and name != "1" for name in os.listdir("/proc")):
            poll.poll(50)  # those that entered are not our children: nothing tells when they end
            drain(self.woken)
            self.reap()
        self.record.write(exit=0, finished=time.time())
        return 0


def drain(descriptor):
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass
