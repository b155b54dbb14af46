"""The command line.

Ctrl-C while its modules are imported ends it silently, as it does any program; `main` takes it from there.
"""

import signal
import sys
from pathlib import PurePath

# Only where this is the program ("-m": `python -m tulle.cli.main`), and not where Ctrl-C is ignored.
if (
    PurePath(sys.argv[0]).name in ("tulle", "-m")
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
