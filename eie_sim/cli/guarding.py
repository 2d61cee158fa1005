"""Commands that read an ONNX file, in a process of their own: onnxruntime may end it over a damaged model."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

from eie_sim.cli import streams

SUFFIX = ".onnx"
CRASHES = (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BY_THE_KERNEL = 128
"""Code of a signal that a terminal sends: the process has it too."""
DEATH_OF_PARENT = 1


def code_of_other_process() -> int | None:
    """Go on in a process of its own if the program is to read an ONNX file, and return None there.

    In this process, return the exit code when the other ends: its own, or 2 where it crashed, with a line that says so.
    Return None at once for other commands, and on systems other than Linux. A fork before anything is imported takes
    a millisecond; memory is shared.
    """
    files = [word for word in sys.argv[1:] if word.lower().endswith(SUFFIX)]
    if not files or sys.platform != "linux":
        return None
    waited = {*PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(DEATH_OF_PARENT, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        told = signal.sigwaitinfo(waited)
        if told.si_signo in PASSED_ON and told.si_code != BY_THE_KERNEL:
            with suppress(ProcessLookupError):
                os.kill(child, told.si_signo)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = os.waitstatus_to_exitcode(ended[1])
    if -code in CRASHES:
        streams.prepare()
        said = f"the process ended with {signal.Signals(-code).name}, as onnxruntime does over a damaged model"
        streams.say(f"error: file={files[0]}: {said}")
        return 2
    if code < 0:  # whoever started this one is told the same
        os.kill(os.getpid(), -code)
    return code
