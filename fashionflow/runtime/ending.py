"""The end of a program in which other threads may be computing.

When Python ends by itself, it ends each other thread as soon as that thread wants to go on in Python. If the thread has been in the
middle of PyTorch's C++, this aborts the whole process ("terminate called without an active exception"), with files left behind. So a
program that may be computing does what is to be done at its end, and then leaves at once.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn


LONGEST_SECONDS = 9
"""The longest that a program takes to end; whoever asked it to end often kills it after ten."""


def requests_to_end() -> tuple[signal.Signals, ...]:
    """The signals by which this program is asked to end, besides Ctrl+C. SIGHUP says that its terminal was closed; it is none of them for a
    program that `nohup` has started, nor on Windows."""
    hang_up = getattr(signal, "SIGHUP", None)
    is_one = hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN
    return (signal.SIGTERM, hang_up) if is_one else (signal.SIGTERM,)


def run(main: Callable[[], None]) -> NoReturn:
    """Runs a whole program. Ctrl+C and `requests_to_end` end it at any time, with status 0, because that is what they were asked for."""
    for each in (signal.SIGINT, *requests_to_end()):
        signal.signal(each, lambda *_: leave(0))
    try:
        main()
    except SystemExit as asked:
        if isinstance(asked.code, str):
            print(asked.code, file=sys.stderr)
        leave(asked.code if isinstance(asked.code, int) else int(asked.code is not None))
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave(0)


def leave(status: int) -> NoReturn:
    """Calls what was registered with `atexit`, and ends the process. No second signal interrupts this."""
    for each in (signal.SIGINT, *requests_to_end()):
        signal.signal(each, signal.SIG_IGN)
    impatient = threading.Timer(LONGEST_SECONDS, os._exit, (status,))
    impatient.daemon = True
    impatient.start()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, RuntimeError):  # it is closed, or a signal came while it was written to
            stream.flush()
    os._exit(status)
