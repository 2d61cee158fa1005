"""Ways to damage a file within its format: what a header, a directory or a manifest says, the rest made to agree."""

import gzip
import hashlib
import io
import json
import math
import re
import struct
import warnings
import zipfile
import zlib
from copy import deepcopy

from mutations import NESTED

RAW = "raw text instead of a value "
RAWS = [
    "NaN",
    "-Infinity",
    "1e999",
    "-0",
    "9" * 5000,
    "[" * NESTED + "]" * NESTED,
    '{"a":' * NESTED + "0" + "}" * NESTED,
]
VALUES = [
    *(None, True, False, -1, 0, 1, 3, 2**20, 2**31, 2**53, 2**63, 2**64, 10**40, 0.5, -0.5, 1e-300, 1e308, -1e308),
    *(
        "",
        "x",
        "a\nb",
        "\x1b[31m",
        "\ud800",
        "\0",
        "../../x",
        "/x",
        "x" * 300,
        "<b>",
        [],
        [[]],
        [None],
        [1, 2],
        {},
        {"a": 1},
    ),
    *(f"{RAW}{at}" for at in range(len(RAWS))),
]
SHAPES = [
    *(
        (),
        (0,),
        (1,),
        (6, 9),
        (9, 6),
        (54,),
        (1, 54),
        (2, 27),
        (0, 9),
        (6, 0),
        (-1, 9),
        (-6, -9),
        (1, 1, 54),
        (6, 9, 1),
    ),
    *((2**20, 2**20), (2**31, 2**31), (2**62, 4), (2**63,), (2**64, 1), (0, 2**63), (2**28,), (2**29, 1), (1,) * 33),
    *((1,) * 65, (True, 9), (6.0, 9), ("6", 9), (None,), (10**30, 0), (10**400,), ((6,), 9), [6, 9], 54, None),
]
DTYPES = [
    *("<f4", ">f4", "<f8", "<f2", "<f16", "<c8", "<i8", ">i2", "|b1", "|u1", "|S4", "|S0", "<U2", "<U0", "|V8", "|V0"),
    *("<M8[s]", "<m8", "|O", "O8", "f4,O", "3f4", "(2,3)f4", "f" * 200, "", "<f3", None, 8, ["<f4"], [("a", "<f4")]),
    *([("a", "|O")], [("a", "<f4", (2**40,))], [("", "<f4")], {"names": ["a"], "formats": ["O"]}, ("<f4", (2, 3))),
]
NAMES = [
    *("../w.npy", "../../../../w.npy", "/w.npy", "C:\\w.npy", "\\\\host\\w.npy", "w", ".npy", "w.npy/", "a/b/../w.npy"),
    *(
        "a\nb.npy",
        "\x1b[31m.npy",
        "é.npy",
        "x" * 300 + ".npy",
        "w.pkl",
        "__import__('os').npy",
        "con.npy",
        "w.npy\0.txt",
    ),
]


# JSON


def dumped(value):
    """JSON text, pieces of raw text put in."""
    text = json.dumps(value)
    for at, raw in enumerate(RAWS):
        text = text.replace(json.dumps(f"{RAW}{at}"), raw)
    return text


def places(value, path=()):
    """Paths of all parts."""
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, name)
            yield from places(part, (*path, name))


def changed(rng, value):
    """Plain data in which parts are others, of another type, gone, renamed, or there many times."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        value = changed_once(rng, value)
    return value


def changed_once(rng, value):
    paths = list(places(value))
    if not paths:
        return deepcopy(rng.choice(VALUES))
    *way, last = rng.choice(paths)
    inside = value
    for name in way:
        inside = inside[name]
    how = rng.random()
    if how < 0.75:
        inside[last] = deepcopy(rng.choice(VALUES))  # which later changes may be made in
    elif how < 0.85:
        del inside[last]
    elif isinstance(inside, dict):
        inside[rng.choice(["", "x", "a\nb", "\u202e", "../x", "x" * 300, str(last)])] = inside.pop(last)
    else:
        inside.extend(inside[last : last + 1] * rng.choice([1, 1000]))
    return value


def json_changed(rng, data):
    return dumped(changed(rng, json.loads(data))).encode()


def rows_changed(rng, data):
    """Lines of JSON of which one is changed, or as it was with a name twice."""
    lines = data.decode().splitlines()
    at = rng.randrange(len(lines))
    if rng.random() < 0.2:
        name = rng.choice(list(json.loads(lines[at])))
        lines[at] = f"{lines[at][:-1]}, {json.dumps(name)}: {dumped(rng.choice(VALUES))}}}"
    else:
        lines[at] = dumped(changed(rng, json.loads(lines[at])))
    return "".join(f"{line}\n" for line in lines).encode()


# TOML

TOML = [
    *(
        "true",
        "0",
        "-1",
        "1e400",
        "nan",
        "inf",
        "0xffffffffffffffffffff",
        "1979-05-27",
        "07:32:00",
        '""',
        '"x"',
        "[]",
        "{}",
    ),
    *("1979-05-27T07:32:00Z", "[[1], [2, [3]]]", "{ a = { b = 1 } }", '"""\nx\n"""', '"../../x"', '"/x"', '"\\u0000"'),
    *(
        '"1:1e9:1000000000"',
        '"1..1e30"',
        '"1/0"',
        '"0:0:0"',
        '[1, "...", 1e308]',
        '[1, 2, "...", 3e9]',
        '"1e999/1"',
        "[[]]",
    ),
    *(
        '[1, 1.0, true, "1"]',
        '"2:4,2:4"',
        '"each,all"',
        '["..."]',
        '"1..0"',
        "[nan]",
        "9" * 400,
        "9" * 5000,
        "[" * NESTED,
    ),
    *(
        '"1:2:1000001"',
        '"99999x99999"',
        '"0x0"',
        '"1x1+"',
        '"none,none"',
        '"\\u001b[31m"',
        f'"{"x" * 300}"',
        f'"{"1," * 9000}"',
    ),
]


def toml_changed(rng, data):
    """A value becomes one of another kind, or a key another."""
    text = data.decode()
    found = list(re.finditer(r"(?m)^(\w+) = (.*)$", text))
    one = rng.choice(found)
    group = 2 if rng.random() < 0.85 else 1
    keys = ["x", "a.b", '"a b"', "seed", "n_pe", "density", "workload", "grid", "pattern", "tiles"]
    new = rng.choice(TOML) if group == 2 else rng.choice(keys)
    return (text[: one.start(group)] + new + text[one.end(group) :]).encode("utf-8", "surrogatepass")


# arrays


def header(descr, shape, fortran):
    """The text of an array's header."""
    return repr({"descr": descr, "fortran_order": fortran, "shape": shape})


def npy(text, data, version=1):
    size = len(text) + 1
    length = size.to_bytes(2, "little") if version == 1 and size < 2**16 else size.to_bytes(4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode("latin-1", "replace") + b"\n" + data


def npy_changed(rng, data):
    """Another header before the same data, or before as much data as it asks for, up to a few KB."""
    descr, shape = rng.choice(["<f4", rng.choice(DTYPES)]), rng.choice([(6, 9), rng.choice(SHAPES)])
    begin = data.find(b"\n") + 1
    body = data[begin:]
    if rng.random() < 0.6:
        body = wanted(rng, descr, shape)
    text = header(descr, shape, rng.choice([False, True, False, 1, None]))
    if rng.random() < 0.1:
        text = rng.choice(["{" * NESTED, text[:-1], text + " " * 20_000, "__import__('os').abort()", "{}", text * 2])
    return npy(text, body, rng.choice([1, 1, 1, 2, 3, 0, 255]))


def wanted(rng, descr, shape):
    """As many bytes as a header asks for, where these are few."""
    import numpy as np

    try:
        size = np.dtype(descr).itemsize * math.prod(shape)
    except Exception:  # whatever numpy says of a header that was damaged
        size = 216
    return rng.choice([bytes, rng.randbytes])(size if isinstance(size, int) and 0 <= size <= 2**12 else 216)


# gzip


def unpacked(mutation):
    """A mutation of what is packed, in a file that is packed again and whole."""

    def changed_inside(rng, data):
        try:
            text = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return data
        return gzip.compress(mutation(rng, text), mtime=0)

    return changed_inside


# zip archives

CENTRAL = struct.Struct("<4s6H3L5H2L")
END = struct.Struct("<4s4H2LH")
LOCAL = struct.Struct("<4s5H3L2H")


def npz_changed(rng, data):
    """The same members but for one, which has another name, array, way of packing, or bytes that are none."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(each.filename, archive.read(each)) for each in archive.infolist()]
    at = rng.randrange(len(members))
    name, blob = members[at]
    how = rng.randrange(4)
    if how == 0:
        members[at] = rng.choice([*NAMES, members[0][0]]), blob
    elif how == 1:
        members[at] = name, npy_changed(rng, blob)
    elif how == 2:
        members[at] = name, rng.choice([b"", b"x", blob[:-1], blob + b"\0", bytes(2**20), rng.choice(members)[1]])
    else:
        del members[at]
    packed = io.BytesIO()
    packing = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(packed, "w", packing) as archive, warnings.catch_warnings(action="ignore"):  # of equal names
        for name, blob in members:
            with archive.open(_info(rng, name, packing), "w") as member:
                member.write(blob)
    return packed.getvalue()


def _info(rng, name, packing):
    info = zipfile.ZipInfo("w")
    info.filename = name  # as it is; the constructor makes it harmless
    info.compress_type = packing
    info.external_attr = rng.choice([0o644, 0o120777, 0o40755]) << 16  # a file, a link, a folder
    return info


def directory_changed(rng, data):
    """A field of the zip archive's directory, of its end, or of what stands before a member."""
    layout, magic = rng.choice([(CENTRAL, b"PK\x01\x02"), (END, b"PK\x05\x06"), (LOCAL, b"PK\x03\x04")])
    found = [each.start() for each in re.finditer(re.escape(magic), data) if each.start() + layout.size <= len(data)]
    if not found:
        return data
    at = rng.choice(found)
    fields = list(layout.unpack_from(data, at))
    number = rng.randrange(1, len(fields))
    fields[number] = rng.choice(
        [0, 1, 8, 0xFFFF, fields[number] + 1, max(0, fields[number] - 1), len(data), 2**31, 2**32 - 1]
    )
    while True:
        try:
            return data[:at] + layout.pack(*fields) + data[at + layout.size :]
        except struct.error:  # more than two bytes hold
            fields[number] %= 2**16


# safetensors files, their indices, and archives


def index_changed(rng, data):
    """Another part of an index, or a tensor in another file."""
    if rng.random() < 0.5:
        return json_changed(rng, data)
    fields = json.loads(data)
    weight_map = fields["weight_map"]
    places = ["../x.safetensors", "/x.safetensors", "", ".", "..", "x" * 300 + ".safetensors", *weight_map.values()]
    weight_map[rng.choice([*weight_map, "x", "a\nb"])] = rng.choice(places)
    return dumped(fields).encode()


def parted(data):
    """Header and the tensors' bytes."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(head, tensors):
    text = (head if isinstance(head, str) else dumped(head)).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + tensors


def safetensors_changed(rng, data):
    """Another header: any part of it, or the dtype, shape and offsets of one tensor, also such that agree."""
    head, tensors = parted(data)
    if rng.random() < 0.4:
        return joined(changed(rng, head), tensors)
    one = head[rng.choice([name for name in head if name != "__metadata__"])]
    begin, end = one["data_offsets"]
    how = rng.randrange(4)
    if how == 0:
        one["shape"] = _plain(rng.choice(SHAPES))
    elif how == 1:
        one["dtype"] = rng.choice(
            ["F64", "F16", "BF16", "BOOL", "F8_E4M3", "F4", "U8", "I64", "C64", "x", "f32", None, 4]
        )
    elif how == 2:
        one["data_offsets"] = rng.choice(
            [
                [end, begin],
                [0, len(tensors)],
                [0, 2**63],
                [2**64, 2**64],
                [-1, end],
                [begin],
                [begin, begin],
                [0.0, 1.0],
            ]
        )
    else:
        one |= {"dtype": "U8", "shape": _plain(rng.choice([(end - begin,), (1, end - begin), (end - begin, 1)]))}
    if rng.random() < 0.1:
        return joined(dumped(head)[:-1] + ', "fc1.weight": ' + dumped(one) + "}", tensors)
    return joined(head, tensors)


def _plain(shape):
    return json.loads(json.dumps(shape))


def archive_changed(rng, data):
    """Another manifest, or bytes of a tensor; hashes are made right, so that more than these is looked at."""
    head, tensors = parted(data)
    how = rng.random()
    if how < 0.3:
        name = rng.choice([each for each in head if each != "__metadata__"])
        begin, end = head[name]["data_offsets"]
        blob = rng.choice([bytes(end - begin), b"\xff" * (end - begin), rng.randbytes(end - begin)])
        digest = hashlib.sha256(blob).hexdigest()
        data = data[: len(data) - len(tensors)] + tensors[:begin] + blob + tensors[end:]
        return archive_with(data, lambda manifest: manifest["tensors"].update({name: digest}))
    if how < 0.5:
        field = rng.choice(["n_in", "n_out", "weight_bits"])
        size = rng.choice([0, 1, 2, 3, 5, 6, 7, 8, 9, 2**20, 2**20 + 1, 2**29, 2**63])
        return archive_with(data, lambda manifest: rng.choice(manifest["layers"]).update({field: size}))
    return archive_with(data, lambda manifest: changed(rng, manifest))


def archive_with(data, change):
    """An archive with another manifest, which `change` gives, or makes of the one that it is given."""
    head, tensors = parted(data)
    manifest = json.loads(head["__metadata__"]["eie_sim.manifest"])
    new = change(manifest)
    text = dumped(manifest if new is None else new)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    head["__metadata__"] = {"eie_sim.manifest": text, "eie_sim.sha256": digest}
    return joined(head, tensors)
