"""Numbers of any kind to floats, and the checks every array passes on its way in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, as_array, is_number, refused, require, require_type
from eie_sim.core.sparse import as_csc, is_sparse

Floats = NDArray[np.floating[Any]]

Weights = Any
"""float32 or float64 [n_out, n_in], a numpy array or a `scipy.sparse.csc_array` (scipy comes without types)."""

MAX_SIDE = 2**20
"""Most rows or columns of a matrix; what is kept per column and PE stays within memory."""

MAX_BYTES = 2**31
"""Most bytes the arrays of one file may declare, so that a small file cannot claim all memory."""

MAX_NUMBERS = 2**29
"""Most numbers of one array, and of all the arrays of a network, so that bytes widened to floats stay within memory."""

MAX_ARRAYS = 10_000
"""Most arrays of one file or network."""

MAX_DIMENSIONS = 32
"""Most sides of an array, as every numpy has them."""

EXACT_IN_FLOAT32 = ("bool", "int8", "uint8", "int16", "uint16", "float16", "float32")

MAX_NAME = 200

MAX_WEIGHT = 2.0**100
"""Magnitude above which sums of weights could overflow; fixed point saturates long before."""


@dataclass(frozen=True)
class Unread:
    """A member of a file that is there and cannot be used. reason : why, in one short phrase that prints."""

    reason: str


def shown(text: object, limit: int = 80) -> str:
    """`text` as it may stand in a one-line message: cut to `limit`, quoted where a character does not print."""
    plain = str(text)
    plain = plain if len(plain) <= limit else f"{plain[:limit]}..."
    return plain if plain.isprintable() else repr(plain)


def fresh(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken; it is from now on."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    taken.add(free)
    return free


def as_dtype(field: str, values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """`values` as an array of a type. Raise InputError for those of another kind, and those out of its range."""
    array = as_array(field, values)
    same = array.dtype.kind == dtype.kind or (array.dtype.kind in "iu" and dtype.kind in "iu")
    require(same, field, f"dtype {array.dtype}", f"must be {dtype}")
    with np.errstate(over="ignore"):
        fitting = array.astype(dtype)
    over = (array != fitting) if dtype.kind != "f" else np.isfinite(array) & ~np.isfinite(fitting)
    if over.any():
        raise refused(field, array[over][0], f"must be in the range of {dtype}")
    return fitting


def one_line(error: BaseException, limit: int = 160) -> str:
    """Return the message of an exception on one line."""
    return shown(" ".join(str(error).split()) or type(error).__name__, limit)


def require_name(field: str, name: object) -> None:
    """Raise InputError unless `name` is text fit for tables and terminals: 1 to 200 characters, all printable."""
    rule = f"must be 1 to {MAX_NAME} printable characters"
    ok = isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()
    require(ok, field, shown(repr(name)), rule)


def fit_names(members: dict[str, Any]) -> dict[str, Any]:
    """Members of a file by names fit for tables; one whose name does not print or is too long is `Unread`, renamed."""
    fitting: dict[str, Any] = {}
    tried: Counter[str] = Counter()
    for name, member in members.items():
        if 0 < len(name) <= MAX_NAME and name.isprintable():
            fitting[name] = member
            continue
        reason = f"name of {len(name)} characters" if name.isprintable() else "name that does not print"
        label = shown(shown(name)) or "''"
        other = label
        while other in members or other in fitting:
            tried[label] += 1
            other = f"{label} ({tried[label] + 1})"
        fitting[other] = Unread(reason)
    return fitting


def require_fraction(field: str, value: object) -> float:
    """`value` as a float; raises InputError unless it is a real number in 0..1."""
    require(is_number(value), field, shown(repr(value)), "must be a number in 0..1")
    ok = 0 <= value <= 1  # type: ignore[operator]  # a number, by the line above
    require(ok, field, value, "must be in 0..1")
    return float(value)  # type: ignore[arg-type]  # a number, as above


def as_floats(field: str, array: Any) -> Floats:
    """Real numbers as native float32 where that is exact by type, else float64; not copied where nothing changes.

    Raises InputError for complex numbers, text and objects, and for more than `MAX_NUMBERS`.
    """
    values = as_array(field, array)
    require(values.dtype.kind in "fiub", field, f"dtype {shown(values.dtype)}", "must hold real numbers")
    require(values.size <= MAX_NUMBERS, field, f"{values.size} numbers", f"must be at most {MAX_NUMBERS}")
    target = np.float32 if values.dtype.name in EXACT_IN_FLOAT32 else np.float64
    return values.astype(target, copy=False)


def as_weights(field: str, array: Any) -> Weights:
    """A matrix as `Weights`: dense stays dense, any sparse format becomes csc without stored zeros.

    array : numbers [n_out, n_in], numpy or scipy.sparse

    Booleans in a sparse matrix stay booleans: a pattern without values. Raises InputError for other than two
    dimensions, an empty side, a side beyond `MAX_SIDE`, or numbers that are not real.
    """
    matrix = array if is_sparse(array) else as_array(field, array)
    require_matrix_shape(field, matrix.shape)
    return _csc(field, matrix) if is_sparse(matrix) else as_floats(field, matrix)


def require_matrix_shape(field: str, shape: tuple[int, ...]) -> None:
    """Raise InputError unless `shape` is that of a matrix with something in it, each side at most `MAX_SIDE`."""
    said = f"shape {shown(tuple(shape))}"
    require(len(shape) == 2, field, said, "must have 2 dimensions, (out, in)")
    require(min(shape) >= 1, field, said, "must have at least one row and one column")
    require(max(shape) <= MAX_SIDE, field, said, f"must have at most {MAX_SIDE} rows and columns")


def _csc(field: str, matrix: Any) -> Any:
    from scipy.sparse import csc_array

    csc = as_csc(field, matrix)
    if csc.dtype == np.bool_:
        return csc
    return csc_array((as_floats(field, csc.data), csc.indices, csc.indptr), shape=csc.shape)


def nonzero_fraction(array: Any) -> float:
    """Fraction of a numpy array or csc matrix that is not zero; 0 where it is empty."""
    total = int(np.prod(array.shape, dtype=object))
    values = array.data if is_sparse(array) else array
    return int(np.count_nonzero(values != 0)) / total if total else 0.0  # numpy counts booleans several times faster


def require_plain(field: str, array: Any) -> None:
    """Raise InputError unless `array` is a numpy array without a mask."""
    require_type(field, array, np.ndarray)
    require(not isinstance(array, np.ma.MaskedArray), field, "a masked array", "must be a plain array")


def require_floats(field: str, array: Any) -> None:
    """Raise InputError, naming the first bad one, unless `array`, numpy or csc, holds finite float32 or float64."""
    values = array.data if is_sparse(array) else array
    require(values.dtype in (np.float32, np.float64), field, f"dtype {values.dtype}", "must be float32 or float64")
    finite = np.isfinite(values)
    if finite.all():
        return
    first = int(np.argmin(finite))  # in the order of the elements, whatever their layout
    place = _sparse_place(array, first) if is_sparse(array) else np.unravel_index(first, values.shape)
    where = ", ".join(str(int(i)) for i in place)
    raise InputError(f"{field}[{where}]={values.flat[first]}: must be finite")


def _sparse_place(csc: Any, stored: int) -> tuple[int, int]:
    """Row and column of a stored element."""
    return int(csc.indices[stored]), int(np.searchsorted(csc.indptr, stored, side="right")) - 1


def require_finite(field: str, values: NDArray[Any]) -> None:
    """Raise InputError at the first NaN, infinity, or magnitude beyond arithmetic."""
    at = first_not_finite(field, values)
    if at is not None:
        refuse_not_finite(field, np.unravel_index(at, values.shape), values.flat[at])


def first_not_finite(field: str, values: NDArray[Any]) -> int | None:
    """The place of the first NaN, infinity, or magnitude beyond arithmetic, in flat order; None without any."""
    require_real(field, values)
    if not values.size or values.dtype.kind != "f":
        return None
    ok = np.abs(values) <= min(MAX_WEIGHT, float(np.finfo(values.dtype).max))  # float16 ends before 2**100
    return None if ok.all() else int(np.argmin(ok))


def refuse_not_finite(field: str, place: Any, value: Any) -> NoReturn:
    """Raise InputError for a value at a place."""
    where = ", ".join(str(int(index)) for index in place)
    raise InputError(f"{field}[{where}]={value}: must be finite and of magnitude at most 2**100")


def require_real(field: str, values: NDArray[Any]) -> None:
    """Raise InputError for anything but real numbers."""
    kind = values.dtype.kind
    require(kind in "fiub", field, f"dtype {values.dtype}", "must hold real numbers")
