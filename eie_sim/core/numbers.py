"""Numbers as people read them in tables: none that is not zero reads as 0.00, and none as -0.0000."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial


def number(value: float | str, decimals: int) -> str:
    """Return a number with so many decimals, or with three digits where those would all be 0; a word as it is."""
    if isinstance(value, str):
        return value
    shown = f"{value + 0.0:,.{decimals}f}"  # + 0.0: no -0.0
    return f"{value:.3g}" if value and not shown.strip("-0.") else shown


def to(decimals: int) -> Callable[[float | str], str]:
    """Return `number` with so many decimals, as the form of a column."""
    return partial(number, decimals=decimals)


def percent(share: float, decimals: int = 1) -> str:
    """Return a share of one in percent; below what the decimals show, <0.1 %: its digits may be those of rounding."""
    least = 10.0**-decimals
    if 0 < 100 * share < least / 2:
        return f"<{least:.{decimals}f} %"
    return f"{round(100 * share, decimals) + 0.0:.{decimals}f} %"  # + 0.0: no -0.0


def share(value: float | str) -> str:
    """Return a share of one in percent; a word in place of one as it is."""
    return value if isinstance(value, str) else percent(value)


def counted(number: int, what: str) -> str:
    """Return a number and what it counts, in the plural where there is not one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
