"""What a layer needs of a PE's memories, worked by hand: just fitting, and one more."""

import numpy as np
import pytest
import scipy.sparse

from eie_sim.core.quantize import Scales
from eie_sim.core.result import MemoryFit
from eie_sim.engine import simulate
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.memories import memories

BOOK = np.zeros(16)


def full(n_out, n_in, *, n_pe=1, bias=False, **widths):
    """A matrix with a weight everywhere."""
    bias_codes = np.ones(n_out, dtype=np.uint8) if bias else None
    codes = np.ones((n_out, n_in), dtype=np.uint8)
    return EieMatrix.from_codes(codes, BOOK, n_pe=n_pe, bias_codes=bias_codes, **widths)


def shape_only(n_out, n_in):
    """A large layer with a single weight: what depends on the shape alone."""
    weights = scipy.sparse.csc_array(([1.0], ([0], [0])), shape=(n_out, n_in))
    return EieMatrix.from_dense(weights, n_pe=64)


def memory(name, matrix, **design):
    config = EieConfig(n_pe=matrix.n_pe, index_bits=matrix.index_bits, **design)
    return next(one for one in memories(matrix, config) if one.memory == name)


def test_every_memory_is_there_once_and_in_order():
    names = [one.memory for one in memories(full(1, 1), EieConfig(n_pe=1))]
    assert names == ["spmat_sram", "pointer_sram", "pointer_range", "activation_sram", "register_file"]


def test_the_memories_of_the_paper():
    """128 KB of Spmat, 32 KB of pointers and 2 KB of activations (Han et al. 2016, Table II and section V)."""
    available = [(one.available, one.unit) for one in memories(full(1, 1).counts, EieConfig(n_pe=1))]
    bits = [128 * 2**13, 32 * 2**13, 2**16, 2 * 2**13, 64 * 16]
    assert available == [(n, "entries" if n == 2**16 else "bits") for n in bits]
    assert {type(number) for number, _ in available} == {int}


@pytest.mark.parametrize(
    ("entries", "needed", "passes"),
    [(1, 64, 1), (8, 64, 1), (9, 128, 1), (16, 128, 1), (17, 192, 2), (32, 256, 2), (33, 320, 3)],
)
def test_spmat_sram_holds_whole_rows_of_eight_entries(entries, needed, passes):
    # 16 bytes are 2 rows of 64 bits, 8 entries of 8 bits each.
    found = memory("spmat_sram", full(entries, 1), spmat_bytes=16)
    assert found == MemoryFit("spmat_sram", needed, 128, "bits", passes)
    assert found.fits == (entries <= 16)


def test_entries_do_not_cross_rows_of_the_spmat_sram():
    # 4 + 7 bits an entry: 5 in a row of 64 bits, not 5.8.
    matrix = full(6, 1, index_bits=7)
    assert memory("spmat_sram", matrix, spmat_bytes=8) == MemoryFit("spmat_sram", 128, 64, "bits", 2)


def test_a_pass_holds_whole_rows_of_the_spmat_sram():
    # 12 bytes hold one row of 64 bits; three rows take three passes, although 192 bits are only twice 96.
    assert memory("spmat_sram", full(24, 1), spmat_bytes=12) == MemoryFit("spmat_sram", 192, 64, "bits", 3)


def test_padding_entries_take_room():
    codes = np.zeros((17, 1), dtype=np.uint8)
    codes[16] = 1  # one padding entry bridges 16 zeros
    matrix = EieMatrix.from_codes(codes, BOOK, n_pe=1)
    assert memory("pointer_range", matrix).needed == 2


def test_the_fullest_pe_counts():
    codes = np.zeros((6, 4), dtype=np.uint8)
    codes[1::2] = 1  # rows 1, 3, 5 belong to PE 1 of 2
    matrix = EieMatrix.from_codes(codes, BOOK, n_pe=2)
    assert memory("pointer_range", matrix).needed == 12


@pytest.mark.parametrize(
    ("n_in", "bias", "passes"),
    [(3, False, 1), (2, True, 1), (4, False, 2), (3, True, 2), (6, False, 2), (7, False, 3)],
)
def test_pointer_sram_holds_one_pointer_more_than_columns_in_every_pass(n_in, bias, passes):
    # 8 bytes are 4 pointers of 16 bits: 3 columns. A bias is one more column.
    found = memory("pointer_sram", full(1, n_in, bias=bias), pointer_bytes=8)
    assert found == MemoryFit("pointer_sram", (n_in + bias + 1) * 16, 64, "bits", passes)
    assert found.fits == (passes == 1)


def test_wider_pointers_leave_room_for_fewer():
    assert memory("pointer_sram", full(1, 3), pointer_bytes=8, pointer_bits=20).available == 60
    assert memory("pointer_sram", full(1, 3), pointer_bytes=8, pointer_bits=20).passes == 2


@pytest.mark.parametrize(("entries", "passes"), [(8, 1), (9, 2), (16, 2), (17, 3)])
def test_a_pointer_of_three_bits_reaches_eight_entries(entries, passes):
    found = memory("pointer_range", full(entries, 1), pointer_bits=3)
    assert found == MemoryFit("pointer_range", entries, 8, "entries", passes)
    assert found.fits == (entries <= 8)


@pytest.mark.parametrize(("bias_rows", "passes"), [(0, 1), (1, 2)])
def test_a_pointer_of_16_bits_reaches_65536_entries(bias_rows, passes):
    bias_codes = np.zeros(256, dtype=np.uint8)
    bias_codes[:bias_rows] = 1
    matrix = EieMatrix.from_codes(np.ones((256, 256), dtype=np.uint8), BOOK, n_pe=1, bias_codes=bias_codes)
    found = memory("pointer_range", matrix)
    assert found == MemoryFit("pointer_range", 65_536 + bias_rows, 65_536, "entries", passes)


@pytest.mark.parametrize(
    ("n_out", "n_in", "words", "passes"), [(2, 6, 4, 1), (2, 5, 4, 1), (3, 5, 5, 2), (2, 7, 5, 2), (8, 10, 9, 3)]
)
def test_activation_sram_holds_inputs_and_outputs(n_out, n_in, words, passes):
    # 8 bytes are 4 words; two PEs hold every other input and output.
    found = memory("activation_sram", full(n_out, n_in, n_pe=2), activation_bytes=8)
    assert found == MemoryFit("activation_sram", words * 16, 64, "bits", passes)


def test_a_bias_needs_no_word_of_the_activation_sram():
    assert memory("activation_sram", full(1, 3, bias=True)).needed == memory("activation_sram", full(1, 3)).needed == 64


@pytest.mark.parametrize(("n_out", "rows", "passes"), [(4, 2, 1), (5, 3, 2), (8, 4, 2), (9, 5, 3)])
@pytest.mark.parametrize("bits", [16, 24])
def test_register_file_holds_an_accumulator_for_every_row(n_out, rows, passes, bits):
    matrix = full(n_out, 1, n_pe=2)
    found = memory("register_file", matrix, register_entries=2, accumulator_bits=bits)
    assert found == MemoryFit("register_file", rows * bits, 2 * bits, "bits", passes)


def test_the_shape_of_vgg_6_needs_two_passes_for_its_pointers():
    found = {one.memory: one for one in memories(shape_only(4096, 25088), EieConfig())}
    # 25,089 pointers of 16 bits in 32 KB, room for 16,384; 392 inputs and 64 outputs on each PE.
    assert found["pointer_sram"] == MemoryFit("pointer_sram", 401_424, 262_144, "bits", 2)
    assert found["activation_sram"] == MemoryFit("activation_sram", 7_296, 16_384, "bits", 1)
    assert found["register_file"] == MemoryFit("register_file", 1_024, 1_024, "bits", 1)
    assert [name for name, one in found.items() if not one.fits] == ["pointer_sram"]


def test_the_shape_of_nt_wd_needs_three_passes_for_its_outputs():
    found = {one.memory: one for one in memories(shape_only(8791, 600), EieConfig())}
    # 138 outputs on the fullest PE, 64 accumulators; 10 inputs.
    assert found["register_file"] == MemoryFit("register_file", 2_208, 1_024, "bits", 3)
    assert found["activation_sram"] == MemoryFit("activation_sram", 2_368, 16_384, "bits", 1)
    assert [name for name, one in found.items() if not one.fits] == ["register_file"]


def test_a_layer_that_does_not_fit_is_simulated_and_marked_and_its_cycles_stay():
    scales = Scales(weight=0, activation=0, accumulator=0)
    matrix = EieMatrix.from_codes(np.ones((5, 3), dtype=np.uint8), [0, 1, 2, 3], n_pe=2, scales=scales)
    inputs = np.ones(3, dtype=np.int16)
    roomy = simulate(matrix, inputs, EieConfig(n_pe=2, weight_bits=2))
    tight = simulate(matrix, inputs, EieConfig(n_pe=2, weight_bits=2, register_entries=1, pointer_bytes=6))
    assert (roomy.fits, roomy.passes) == (True, 1)
    assert (tight.fits, tight.passes) == (False, 3)
    assert tight.cycles == roomy.cycles
    np.testing.assert_array_equal(tight.output, roomy.output)
    assert {one.memory: one.fits for one in tight.memories} == {
        "spmat_sram": True,
        "pointer_sram": False,
        "pointer_range": True,
        "activation_sram": True,
        "register_file": False,
    }
