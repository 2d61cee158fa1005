"""The eie-sim command: arguments in, the library called, text or JSON out. No logic lives here."""

from __future__ import annotations

import os
import sys

from cyclopts import CycloptsError

from eie_sim.cli import pruning, simulate  # noqa: F401  each adds its commands to the app
from eie_sim.cli.shell import app
from eie_sim.errors import InputError

__all__ = ["app", "main"]

EXIT_BAD_INPUT = 2


def _fail(message: str) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return EXIT_BAD_INPUT


def _drop_output() -> None:
    """Send what is still in the buffer nowhere, or Python would trip over it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Exit code 0: done; 1: the result differs from the golden product; 2: bad input or full disk."""
    try:
        code: int = app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0
        sys.stdout.flush()  # so that a reader that went away is noticed here, and not when Python ends
    except (CycloptsError, InputError) as error:
        code = _fail(str(error))
    except MemoryError:
        code = _fail("memory: not enough for this workload and design; run one layer, or fewer vectors")
    except (BrokenPipeError, SystemExit):  # the reader of our output went away, as `| head` does; rich exits then
        _drop_output()
        code = 0
    except OSError as error:
        _drop_output()
        code = _fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    return code
