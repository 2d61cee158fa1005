"""The one error for bad input: a single line with field, value and rule."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAX_SAID = 200
"""Characters of a value that a message repeats."""


class InputError(ValueError):
    """Input that breaks a rule. The command line prints it as one line and exits with code 2."""


class InvariantError(RuntimeError):
    """Counts of a result that contradict each other: a fault of the simulator, never of its input."""


def require(ok: bool, field: str, value: object, rule: str) -> None:
    """Raise `InputError("field=value: rule")` unless `ok`."""
    if not ok:
        raise refused(field, value, rule)


def hold(ok: bool, what: str, found: object, rule: str) -> None:
    """Raise `InvariantError("what=found: rule")` unless `ok`."""
    if not ok:
        raise InvariantError(f"broken invariant: {what}={_said(found)}: {rule}; please report this")


def refused(field: str, value: object, rule: str) -> InputError:
    """The error `field=value: rule`, to raise where there is nothing left to test."""
    return InputError(f"{field}={_said(value)}: {rule}")


def any_of(choices: Iterable[object]) -> str:
    """Choices, at least one, as a rule names them: `a, b or c`."""
    *most, last = map(str, choices)
    return f"{', '.join(most)} or {last}" if most else last


def few(names: Sequence[str], most: int = 4, rest: str = "") -> str:
    """The first names, and how many more there are. rest : where those are"""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more{rest}" if len(names) > most else "")


def require_one_of(field: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise `InputError` unless `value` is one of `choices`, which are words or integers; 16.0 is not 16."""
    if type(value) in (str, int) and value in choices:
        return
    ok = isinstance(value, (str, numbers.Integral)) and value in choices
    require(ok, field, value, f"must be {any_of(choices)}")


def is_number(value: object) -> bool:
    """True for a real number, numpy's too, but not for a bool."""
    return type(value) in (int, float) or (not isinstance(value, bool) and isinstance(value, numbers.Real))


def require_int(field: str, value: object, low: int, high: int | None = None) -> None:
    """Raise `InputError` unless `value` is an integer (not a bool) in `low..high`."""
    if type(value) is int and low <= value and (high is None or value <= high):
        return  # what is almost always so is told at once: sweeps make designs by the ten thousand
    rule = f"must be an integer >= {low}" if high is None else f"must be an integer in {low}..{high}"
    ok = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    require(ok, field, _said(value, repr), rule)
    number = int(value)  # type: ignore[call-overload]  # checked on the line above
    require(number >= low and (high is None or number <= high), field, number, rule)


def require_type(field: str, value: object, *kinds: type) -> None:
    """Raise `InputError`, which names the types, unless `value` is of one of `kinds`."""
    rule = f"must be {any_of('None' if kind is type(None) else kind.__name__ for kind in kinds)}"
    require(isinstance(value, kinds), field, type(value).__name__, rule)


def require_all(field: str, values: Any, kind: type) -> None:
    """Raise `InputError` unless `values` is a list or tuple of one kind of thing."""
    require_type(field, values, list, tuple)
    for at, value in enumerate(values):
        require_type(f"{field}[{at}]", value, kind)


def require_callable(field: str, value: object) -> None:
    """Raise `InputError` unless `value` can be called."""
    require(callable(value), field, type(value).__name__, "must be a function")


def require_seed(seed: object) -> None:
    """Raise `InputError` unless `seed` is an integer >= 0 of at most 128 bits, as many as a generator takes up."""
    require_int("seed", seed, 0)
    require(int(seed) < 2**128, "seed", seed, "must be below 2**128")  # type: ignore[call-overload]  # an integer


def as_array(field: str, values: Any) -> NDArray[Any]:
    """`values` as a plain numpy array in the machine's byte order, long doubles as float64.

    Raise `InputError` where nested lists have no common shape, and for masked arrays: their mask would be lost.
    """
    import numpy as np

    parts = values if isinstance(values, (list, tuple)) else (values,)
    masked = any(isinstance(part, np.ma.MaskedArray) for part in parts)
    require(not masked, field, "a masked array", "must be a plain array, as its filled() gives")
    try:
        array = np.asarray(_of_tensor(values))
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise InputError(f"{field}: must be a rectangular array of numbers") from error
    if array.dtype.name == "bfloat16":  # of ml_dtypes, as jax has it
        return array.astype(np.float32)
    if array.dtype.char == "g":
        with np.errstate(over="ignore", invalid="ignore"):  # infinite and NaN are refused later by name
            return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def is_tensor(value: Any) -> bool:
    """True for a torch tensor. torch is never imported: whoever has a tensor has it."""
    return callable(getattr(value, "detach", None)) and callable(getattr(value, "cpu", None))


def _of_tensor(values: Any) -> Any:
    """A tensor as a numpy array, bfloat16 widened; anything else as it is."""
    if not is_tensor(values):
        return values
    tensor = values.detach().cpu()
    return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()


def as_floats(field: str, values: Any, *, below: float = math.inf) -> NDArray[np.float64]:
    """`values` as a float64 array. Raise `InputError` unless they are real numbers of a size below `below`."""
    import numpy as np

    array = as_array(field, values)
    require(array.dtype.kind in "fiu" or array.size == 0, field, f"dtype {array.dtype}", "must be real numbers")
    array = array.astype(np.float64)
    require(bool((np.abs(array) < below).all()), field, "not finite", "must be finite numbers")
    return array


def unknown(field: str, value: object, known: Iterable[str]) -> InputError:
    """An error for a name that is not among `known`, with the nearest ones."""
    names, said = sorted(known), _said(value)
    near = get_close_matches(said, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"must be one of {_listed(names)}"
    return InputError(f"{field}={said}: unknown; {hint}")


def _listed(names: list[str]) -> str:
    """Names between commas, as many as fit MAX_SAID characters, and how many more there are."""
    shown = names
    while len(", ".join(shown)) > MAX_SAID and len(shown) > 1:
        shown = shown[:-1]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _said(value: object, in_words: Callable[[object], str] = str) -> str:
    """`value` as a line of at most 200 characters; quoted where one, such as a line break, does not print."""
    try:
        text = in_words(value)
    except ValueError:  # Python refuses to write out integers of thousands of digits
        text = f"an {type(value).__name__} too long to show"
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= MAX_SAID else f"{text[: MAX_SAID - 3]}..."
