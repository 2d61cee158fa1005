"""The eie-sim command: arguments in, the library called, text or JSON out. No logic lives here."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from eie_sim.cli import guarding, streams

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["commands", "main"]

EXIT_DIFFERS = 1
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 128 + signal.SIGTERM

INTERRUPTS = {EXIT_INTERRUPTED: signal.SIGINT, EXIT_TERMINATED: signal.SIGTERM}

AGAIN_S = 0.01
"""Seconds until an interrupt that was dropped is raised again."""

COMMANDS = {
    "run": "simulate",
    "describe": "simulate",
    "prune": "pruning",
    "compare": "comparing",
    "sweep": "sweeping",
    "report": "reporting",
    "trace": "tracing",
    "footprint": "simulate",
    "groups": "graphs",
    "sensitivity": "pruning",
    "allocate": "pruning",
    "accuracy": "pruning",
    "compress": "pruning",
    "presets": "simulate",
    "energy": "simulate",
    "validate": "validating",
    "check-unit": "checking",
}
"""The module of each command, which adds it to the app when it is imported, in the order of help."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Exit code 0: done; 1: the result differs from the golden product, its counts contradict each other, or a point of a
    sweep failed; 2: bad input, a full disk, or workers that keep on ending; 130: interrupted; 143: terminated, which is
    answered as Ctrl-C is.
    """
    ended = guarding.code_of_other_process() if arguments is None else None
    if ended is not None:
        return ended
    code = EXIT_INTERRUPTED

    def terminate(number: int, frame: object) -> None:
        nonlocal code
        code = EXIT_TERMINATED
        raise KeyboardInterrupt

    try:
        with _terminated_by(terminate), _interrupts_kept(lambda: INTERRUPTS[code]):
            streams.prepare()
            return _answered(arguments)
    except BaseException as error:
        interrupt = _interrupt_in(error)
        if interrupt is None and code != EXIT_TERMINATED:  # C code may make an error that does not say what it came of
            raise
        streams.say(": ".join(["interrupted", *map(str, interrupt.args if interrupt else ())]))
        return code


def _interrupt_in(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that an error is, or came of: Python makes another error of one while a class is made."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def _terminated_by(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Have SIGTERM answered meanwhile, unless somebody else does, or this is not the program's main thread."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _interrupts_kept(number: Callable[[], int]) -> Iterator[None]:
    """Have an interrupt raised again that came while an object was deleted or C called back, as LLVM does while kernels
    are loaded: there Python would print it and go on. number : which signal it was
    """
    before = sys.unraisablehook

    def again(lost: Any) -> None:
        if lost.exc_type is KeyboardInterrupt:  # by another thread, when the call that dropped it is over
            threading.Timer(AGAIN_S, _thread.interrupt_main, [number()]).start()
        else:
            before(lost)

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


def commands(asked: str = "") -> App:
    """The app with the command that is asked for, or with every one where there is none of that name.

    Imported here and not above, where an interrupt would end in a traceback.
    """
    from eie_sim.cli.shell import app

    for module in [COMMANDS[asked]] if asked in COMMANDS else dict.fromkeys(COMMANDS.values()):
        import_module(f"eie_sim.cli.{module}")
    return app


def _answered(arguments: list[str] | None) -> int:
    from cyclopts import CycloptsError

    from eie_sim.cli.words import said
    from eie_sim.core.errors import InputError, InvariantError

    code: int = 0
    line: str | None = None
    try:
        words = sys.argv[1:] if arguments is None else arguments
        name = next((word for word in words if not word.startswith("-")), "")
        app = commands(name)
        from eie_sim.cli import helping
        from eie_sim.cli.designs import options_for

        with options_for(words) as unit:
            if helping.is_asked(words) and name in ("", *COMMANDS):
                helping.show(name, COMMANDS, unit, full=helping.FULL in words)
            else:
                code = app(words, exit_on_error=False, print_error=False, result_action="return_value") or 0
        sys.stdout.flush()  # so that a reader that went away is noticed here, and not when Python ends
    except (CycloptsError, InputError) as error:
        return _fail(said(error))
    except InvariantError as error:
        streams.say(f"error: {error}")
        return EXIT_DIFFERS
    except MemoryError:
        line = "memory: not enough for this workload and design; run one layer, or fewer vectors"
    except (BrokenPipeError, SystemExit) as error:
        gone = isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError)
        streams.drop(sys.stdout)  # the reader of our output went away, as `| head` does; rich exits then
        ended = f"exit={getattr(error, 'code', None)}: code of another package has ended the command"
        return 0 if gone else _fail(ended)
    except OSError as error:
        streams.drop(sys.stdout)
        return _fail(str(error))
    except Exception as error:  # of another package's unit; one of our own is raised again
        from eie_sim.units import blamed

        line = blamed(error)
        if line is None:
            raise
    return code if line is None else _fail(line)  # where the frames of the error, and what they hold, are gone


def _fail(message: str) -> int:
    streams.say(f"error: {message}")
    return EXIT_BAD_INPUT
