"""Ways to damage a file, whatever is in it: bytes and text. Each takes a generator and bytes, and gives other bytes."""

import re

WORDS = [0, 1, 2**7, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1]
"""Sizes and offsets at the ends of what their bytes can hold."""

NUMBERS = [
    *(
        "0",
        "-0",
        "1",
        "-1",
        "7",
        "1048576",
        "1048577",
        "2147483648",
        "9223372036854775808",
        "1e308",
        "-1e308",
        "1e-400",
    ),
    *("1e999", "nan", "inf", "-inf", "0x10", "1_000", "1.5", "1e", "+1", "१", "9" * 19, "9" * 400, "9" * 5000),
]
"""Numbers as text, also such that are none."""

CHARACTERS = [
    "\0",
    "\r",
    "\n",
    "\t",
    "\x1b[31m",
    "\ufeff",
    "\u2028",
    "\u202e",
    "é",
    '"',
    "'",
    "\\",
    "{",
    "[",
    "=",
    ",",
    "#",
]
NESTED = 2_000
"""Brackets in brackets; readers that call themselves give up at half of it."""


def place(rng, data):
    """Where a piece begins and where it ends."""
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice([1, 2, 4, 8, 16, rng.randrange(1, len(data) + 2)]))


def bits_flipped(rng, data):
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def bytes_replaced(rng, data):
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 2, 4, 16])):
        if damaged:
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return bytes(damaged)


def cut_short(rng, data):
    return data[: rng.randrange(len(data) + 1)]


def made_longer(rng, data):
    return data + rng.choice([b"\0", b"\n", bytes(64), rng.randbytes(rng.randrange(1, 40)), data])


def removed(rng, data):
    begin, end = place(rng, data)
    return data[:begin] + data[end:]


def repeated(rng, data):
    begin, end = place(rng, data)
    return data[:end] + data[begin:end] * rng.choice([1, 1, 2, 50]) + data[end:]


def inserted(rng, data):
    begin, _ = place(rng, data)
    return data[:begin] + rng.choice([rng.randbytes(rng.randrange(1, 20)), bytes(8), b"\xff" * 8]) + data[begin:]


def moved(rng, data):
    begin, end = place(rng, data)
    rest = data[:begin] + data[end:]
    to, _ = place(rng, rest)
    return rest[:to] + data[begin:end] + rest[to:]


def word_replaced(rng, data):
    """A binary number of 2, 4 or 8 bytes becomes an extreme one."""
    size = rng.choice([2, 4, 8])
    at = rng.randrange(max(1, len(data) - size))
    return data[:at] + (rng.choice(WORDS) % 2 ** (8 * size)).to_bytes(size, "little") + data[at + size :]


def number_replaced(rng, data):
    """A number in text becomes an extreme one, or none."""
    found = list(re.finditer(rb"[-+]?[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?", data))
    if not found:
        return data
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(NUMBERS).encode() + data[one.end() :]


def lines_changed(rng, data):
    """A line goes, comes twice, or changes places with another."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.randrange(3)
    if how == 0:
        del lines[one]
    elif how == 1:
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def character_inserted(rng, data):
    """One that text should not hold, a very long line, half a character, or brackets without end."""
    begin, _ = place(rng, data)
    odd = [*(each.encode() for each in CHARACTERS), b"\xff", b"\xc3", b"\xed\xa0\x80", b"x" * 70_000, b" " * 70_000]
    odd += [b"[" * NESTED, b'{"a":' * NESTED, b"a." * NESTED]
    return data[:begin] + rng.choice(odd) + data[begin:]


BYTES = (
    bits_flipped,
    bytes_replaced,
    cut_short,
    made_longer,
    removed,
    repeated,
    inserted,
    moved,
    word_replaced,
)
TEXT = (number_replaced, number_replaced, lines_changed, character_inserted)


def mutated(rng, samples, own):
    """A valid file that was damaged, mostly in ways of its `own` format, which leave the rest of it whole.

    Some are two valid files of a kind that were joined in the middle.
    """
    data = rng.choice(samples)
    if own and rng.random() < 0.6:
        data = rng.choice(own)(rng, data)
        if rng.random() < 0.7:
            return data
    elif rng.random() < 0.1:
        other = rng.choice(samples)
        data = data[: place(rng, data)[0]] + other[place(rng, other)[0] :]
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = rng.choice(BYTES)(rng, data)
    return data
