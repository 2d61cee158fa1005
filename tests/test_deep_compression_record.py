"""Random masks, and Deep Compression's published rates beside the formula and the encoder."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import tables
from eie_sim.core.errors import InputError
from eie_sim.deep_compression import published_record
from eie_sim.deep_compression.record import LABELS, random_positions


@pytest.mark.parametrize(
    "refused, message",
    [
        (lambda: published_record(-1), "seed=-1: must be an integer >= 0"),
        (lambda: published_record(networks=["VGG"]), "network=VGG: unknown; did you mean VGG16?"),
    ],
)
def test_bad_input_gets_one_line(refused, message):
    with pytest.raises(InputError) as caught:
        refused()
    assert str(caught.value) == message


@given(st.integers(0, 300), st.data(), st.integers(0, 2**32))
def test_random_positions_are_as_many_as_asked_and_ascending(n_position, data, seed):
    n_kept = data.draw(st.integers(0, n_position))
    positions = random_positions(np.random.default_rng(seed), n_position, n_kept)
    assert len(positions) == n_kept and (np.diff(positions) > 0).all()
    assert n_kept == 0 or (positions[0] >= 0 and positions[-1] < n_position)


def test_every_subset_is_drawn_as_often():
    rng, n_draw = np.random.default_rng(0), 4000
    drawn = [tuple(random_positions(rng, 40, 2).tolist()) for _ in range(n_draw)]
    expected = n_draw / math.comb(40, 2)
    counts = np.bincount([40 * a + b for a, b in drawn], minlength=1600)[
        [40 * a + b for a in range(40) for b in range(a + 1, 40)]
    ]
    chi_square, freedom = float(((counts - expected) ** 2 / expected).sum()), math.comb(40, 2) - 1
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


def as_published(records, column):
    rows = {(row["network"], row["layer"]): row for row in tables.rows("deep_compression_layers")}
    return [float(rows[record.network, record.layer][column] or "nan") for record in records]


def check_records(records):
    layers = [record for record in records if record.layer != "total"]
    rounding = 0.02  # the table's formula keeps fractions of a weight; the smallest layer has 500
    assert [r.formula_pct for r in layers] == pytest.approx(as_published(layers, "rate_PQ_formula_pct"), abs=rounding)
    huffman = as_published(layers, "rate_PQH_formula_pct")
    assert [r.formula_huffman_pct for r in layers] == pytest.approx(huffman, abs=rounding)
    assert [r.published_pct for r in records] == as_published(records, "rate_PQ_pct_published")
    for record in layers:
        span, density = 2**record.index_bits, record.n_kept / record.n_position
        beyond = (1 - density) ** span
        expected = record.n_kept * beyond / (1 - beyond)
        assert abs(record.n_filler - expected) <= 5 * math.sqrt(expected / (1 - beyond)) + 1
        entry_bits = record.weight_bits + record.index_bits
        extra_pct = 100 * record.n_filler * entry_bits / (32 * record.n_position)
        assert record.encoder_pct - record.formula_pct == pytest.approx(extra_pct)
        assert record.formula_low_pct < record.formula_pct < record.formula_high_pct
        assert record.formula_low_pct < record.encoder_low_pct < record.encoder_high_pct
        assert record.differences["encoder"] == record.encoder_pct - record.published_pct
    for total in (record for record in records if record.layer == "total"):
        parts = [record for record in layers if record.network == total.network]
        assert total.n_position == sum(part.n_position for part in parts)
        for name in ("formula_pct", "encoder_pct", "encoder_huffman_pct", "huffman_tables_pct", "encoder_high_pct"):
            mean = sum(getattr(part, name) * part.n_position for part in parts) / total.n_position
            assert getattr(total, name) == pytest.approx(mean)


def test_the_small_networks_of_the_record():
    told = []
    records = published_record(networks=["LeNet5", "LeNet300"], progress=told.append)
    assert [record.network for record in records] == ["LeNet5"] * 5 + ["LeNet300"] * 4
    assert told[0] == "LeNet5 conv1: encoding" and len(told) == 7
    check_records(records)
    conv1 = records[0]
    assert (conv1.n_kept, conv1.n_filler, conv1.published_pct) == (330, 0, 78.5)
    assert conv1.formula_pct == conv1.encoder_pct == 100 * (330 * 13 + 256 * 32) / 16000
    assert conv1.formula_huffman_pct == pytest.approx(100 * (330 * 8.7 + 256 * 32) / 16000)
    assert conv1.huffman_tables_pct == 100 * (256 + 32) * 5 / 16000
    assert conv1.mask == "synthetic, uniformly random positions, seed 0"
    assert conv1.to_dict()["labels"] == dict(LABELS) and conv1.to_dict()["differences"] == conv1.differences


def test_records_are_reproduced_by_their_seed_alone():
    alone = published_record(networks=["LeNet300"])
    after = published_record(networks=["LeNet5", "LeNet300"])[-4:]
    other = published_record(1, networks=["LeNet300"])
    assert alone == after
    assert [r.n_filler for r in alone] != [r.n_filler for r in other]
    assert [r.formula_pct for r in alone] == [r.formula_pct for r in other]


def test_the_record_needs_no_compiler():
    program = "import sys; from eie_sim.deep_compression import published_record as p; p(networks=['LeNet300'])"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; print('numba' in sys.modules)"], capture_output=True, check=True
    )
    assert done.stdout.split() == [b"False"]


@pytest.mark.slow
def test_the_whole_record_at_full_size():
    records = published_record()
    assert len(records) == 31 + 4
    check_records(records)
    by_layer = {(record.network, record.layer): record for record in records}
    fc6 = by_layer["VGG16", "fc6"]
    assert (fc6.n_position, fc6.n_kept) == (102_760_448, 4_110_418)
    assert fc6.formula_high_pct < fc6.published_pct, "no rounding of the density reaches the rate without fillers"
    assert fc6.encoder_low_pct < fc6.published_pct + 0.05, "the printed rate is rounded to a tenth"
    assert fc6.published_pct < fc6.encoder_pct < fc6.encoder_high_pct
