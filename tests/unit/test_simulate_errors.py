"""What does not belong is refused at the door, in one line with field, value and rule."""

import tracemalloc
from collections import deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse

import eie_sim as es
from eie_sim.core.errors import require, require_int, unknown
from eie_sim.units.eie.unit import config_for

INTEGERS = es.Scales(weight=0, activation=0, accumulator=0)
CONFIG = es.EieConfig(n_pe=2, weight_bits=2, index_bits=3)


def matrix_of(scales=INTEGERS):
    """Two outputs, three inputs, on two PEs, with 2-bit codes and 3-bit gaps."""
    codes = np.array([[1, 0, 3], [0, 2, 0]], dtype=np.uint8)
    return es.EieMatrix.from_codes(codes, [0.0, 1.0, 2.0, 3.0], n_pe=2, index_bits=3, scales=scales)


def refused(call):
    """The message of the InputError that `call` raises."""
    with pytest.raises(es.InputError) as error:
        call()
    message = str(error.value)
    assert message.isprintable(), "one line, nothing that moves a cursor"
    return message


FIELDS = "must be (3,) or (n_vector, 3) for a matrix of 3 inputs"
KINDS = "must be floats or raw int16"
FINITE = "must be finite and of magnitude at most 2**100"


@pytest.mark.parametrize(
    ("activations", "message"),
    [
        ([1.0, 2.0], f"activations=shape (2,): {FIELDS}"),
        ([1.0] * 4, f"activations=shape (4,): {FIELDS}"),
        ([], f"activations=shape (0,): {FIELDS}"),
        (np.zeros((3, 2)), f"activations=shape (3, 2): {FIELDS}"),
        (np.zeros((2, 2, 3)), f"activations=shape (2, 2, 3): {FIELDS}"),
        (np.array(0.5), f"activations=shape (): {FIELDS}"),
        ([1.0, np.nan, 2.0], f"activations[1]=nan: {FINITE}"),
        ([[1.0, 1.0, 1.0], [0.0, 0.0, -np.inf]], f"activations[1, 2]=-inf: {FINITE}"),
        (np.array([0, 1, np.inf], dtype=np.float16), f"activations[2]=inf: {FINITE}"),
        (np.array([0, 1, np.nan], dtype=np.float32), f"activations[2]=nan: {FINITE}"),
        ([0.0, 2.0**101, 0.0], f"activations[1]=2.535301200456459e+30: {FINITE}"),
        ([1, 32768, 0], "activations=32768: raw words must fit int16"),
        ([1, -32769, 0], "activations=-32769: raw words must fit int16"),
        (np.array([0, 0, 2**64 - 1], dtype=np.uint64), "activations=18446744073709551615: raw words must fit int16"),
        ([True, False, True], f"activations=dtype bool: {KINDS}"),
        (True, f"activations=dtype bool: {KINDS}"),
        ([1j, 0, 0], f"activations=dtype complex128: {KINDS}"),
        ([1.0, None, 2.0], f"activations=dtype object: {KINDS}"),
        ([1.0, 2.0, 10**400], f"activations=dtype object: {KINDS}"),
        ([Decimal(1)] * 3, f"activations=dtype object: {KINDS}"),
        (None, f"activations=dtype object: {KINDS}"),
        ({"x": 1}, f"activations=dtype object: {KINDS}"),
        (deque, f"activations=dtype object: {KINDS}"),
        (scipy.sparse.csr_array(np.ones((1, 3))), f"activations=dtype object: {KINDS}"),
        ("abc", f"activations=dtype <U3: {KINDS}"),
        (["1", "2", "3"], f"activations=dtype <U1: {KINDS}"),
        (b"abc", f"activations=dtype |S3: {KINDS}"),
        (np.zeros(3, dtype="M8[s]"), f"activations=dtype datetime64[s]: {KINDS}"),
        (np.zeros(3, dtype=[("x", float)]), f"activations=dtype [('x', '<f8')]: {KINDS}"),
        ([[1.0, 2.0, 3.0], [1.0]], "activations: must be a rectangular array of numbers"),
    ],
)
@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_activations_that_do_not_belong(activations, message, engine):
    assert refused(lambda: es.simulate(matrix_of(), activations, CONFIG, engine=engine)) == message


@pytest.mark.parametrize(
    ("density", "message"),
    [
        (1.5, "activation_density=1.5: must be in 0..1"),
        (-0.1, "activation_density=-0.1: must be in 0..1"),
        (2, "activation_density=2: must be in 0..1"),
        (float("nan"), "activation_density=nan: must be in 0..1"),
        (float("inf"), "activation_density=inf: must be in 0..1"),
        (np.float32(7), "activation_density=7.0: must be in 0..1"),
    ],
)
def test_a_density_out_of_range(density, message):
    assert refused(lambda: es.simulate(matrix_of(), density, CONFIG)) == message


@pytest.mark.parametrize("density", [0.5, np.float64(0.5), np.float32(0.5)])
def test_any_number_is_a_density_and_labelled_synthetic(density):
    result = es.simulate(matrix_of(es.Scales()), density, CONFIG, seed=3)
    assert result.inputs == "synthetic, density 0.5, seed 3"


@pytest.mark.parametrize(("seed", "said"), [(-1, "-1"), (1.5, "1.5"), ("a", "'a'"), (None, "None"), (True, "True")])
def test_a_seed_that_is_none(seed, said):
    assert refused(lambda: es.simulate(matrix_of(), 0.5, CONFIG, seed=seed)) == f"seed={said}: must be an integer >= 0"


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("fats", "engine=fats: unknown; did you mean fast?"),
        ("Reference", "engine=Reference: unknown; did you mean reference?"),
        ("", "engine=: unknown; must be one of fast, reference"),
        ("x\ny", "engine='x\\ny': unknown; must be one of fast, reference"),
        (3, "engine=3: unknown; must be one of fast, reference"),
        (None, "engine=None: unknown; must be one of fast, reference"),
        (["fast"], "engine=['fast']: unknown; did you mean fast?"),
    ],
)
def test_an_unknown_engine(engine, message):
    assert refused(lambda: es.simulate(matrix_of(), [1, 2, 3], CONFIG, engine=engine)) == message


@pytest.mark.parametrize(
    ("matrix", "said"), [(np.eye(3), "ndarray"), (None, "NoneType"), (es.EieMatrix, "type"), ("alex-7", "str")]
)
def test_a_matrix_of_another_type(matrix, said):
    message = refused(lambda: es.simulate(matrix, [1, 2, 3]))
    assert message.startswith(f"matrix={said}: must be ")
    assert "EieMatrix" in message


@pytest.mark.parametrize(
    ("config", "said"), [({"n_pe": 2}, "dict"), ({}, "dict"), (es.EieConfig, "type"), ("default", "str"), (0, "int")]
)
def test_a_config_of_another_type(config, said):
    assert refused(lambda: es.simulate(matrix_of(), [1, 2, 3], config)) == f"config={said}: must be EieConfig"


@pytest.mark.parametrize(("name", "ours", "theirs"), [("n_pe", 2, 64), ("index_bits", 3, 4), ("weight_bits", 2, 4)])
def test_a_config_that_disagrees_with_the_matrix_is_named_with_both_values(name, ours, theirs):
    config = es.EieConfig(**{**CONFIG.to_dict(), name: theirs})
    message = refused(lambda: es.simulate(matrix_of(), [1, 2, 3], config))
    assert message == f"config.{name}={theirs}: must be equal to the matrix's {name}={ours}"


def test_without_a_config_the_matrix_says_what_it_fixes():
    assert es.simulate(matrix_of(), [1, 2, 3]).config == CONFIG == config_for(matrix_of())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_pe": 0}, "n_pe=0: must be an integer in 1..65536"),
        ({"n_pe": 65537}, "n_pe=65537: must be an integer in 1..65536"),
        ({"n_pe": 2.0}, "n_pe=2.0: must be an integer in 1..65536"),
        ({"n_pe": True}, "n_pe=True: must be an integer in 1..65536"),
        ({"n_pe": "8"}, "n_pe='8': must be an integer in 1..65536"),
        ({"n_pe": None}, "n_pe=None: must be an integer in 1..65536"),
        ({"n_pe": np.array([1, 2])}, "n_pe=array([1, 2]): must be an integer in 1..65536"),
        ({"queue_depth": 0}, "queue_depth=0: must be an integer in 1..1048576"),
        ({"queue_depth": 2**20 + 1}, "queue_depth=1048577: must be an integer in 1..1048576"),
        ({"weight_bits": 0}, "weight_bits=0: must be an integer in 1..8"),
        ({"weight_bits": 9}, "weight_bits=9: must be an integer in 1..8"),
        ({"index_bits": 0}, "index_bits=0: must be an integer in 1..8"),
        ({"index_bits": 9}, "index_bits=9: must be an integer in 1..8"),
        ({"accumulator_bits": 17}, "accumulator_bits=17: must be 16, 24 or 32"),
        ({"accumulator_bits": 16.0}, "accumulator_bits=16.0: must be 16, 24 or 32"),
        ({"accumulator_bits": "16"}, "accumulator_bits=16: must be 16, 24 or 32"),
        ({"accumulator_bits": np.array([16, 24])}, "accumulator_bits=[16 24]: must be 16, 24 or 32"),
        ({"rounding": "up"}, "rounding=up: must be floor or nearest"),
        ({"rounding": 1}, "rounding=1: must be floor or nearest"),
        ({"rounding": "floor\n"}, "rounding='floor\\n': must be floor or nearest"),
        ({"rounding": ["floor"]}, "rounding=['floor']: must be floor or nearest"),
        ({"active": "all"}, "active=all: must be positive or nonzero"),
        ({"active": None}, "active=None: must be positive or nonzero"),
        ({"spmat_width_bits": 0}, "spmat_width_bits=0: must be an integer in 1..65536"),
        ({"spmat_width_bits": 7}, "spmat_width_bits=7: must hold an entry of weight_bits + index_bits = 8 bits"),
        ({"spmat_bytes": 0}, "spmat_bytes=0: must be an integer in 1..1099511627776"),
        ({"pointer_bytes": -1}, "pointer_bytes=-1: must be an integer in 1..1099511627776"),
        ({"activation_bytes": 1.5}, "activation_bytes=1.5: must be an integer in 1..1099511627776"),
        ({"register_entries": 0}, "register_entries=0: must be an integer in 1..1099511627776"),
        ({"pointer_bits": 32}, "pointer_bits=32: must be an integer in 1..31"),
        ({"clock_mhz": 0}, "clock_mhz=0: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": -800.0}, "clock_mhz=-800.0: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": 1e6}, "clock_mhz=1000000.0: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": float("nan")}, "clock_mhz=nan: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": float("inf")}, "clock_mhz=inf: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": "800"}, "clock_mhz='800': must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": 1e-310}, "clock_mhz=1e-310: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": Fraction(1, 10**400)}, f"clock_mhz=1/1{'0' * 194}...: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": 10**5000}, "clock_mhz=an int too long to show: must be a number >= 0.001 and below 1e6"),
        ({"clock_mhz": True}, "clock_mhz=True: must be a number >= 0.001 and below 1e6"),
        ({"node_nm": 0}, "node_nm=0: must be an integer in 1..1099511627776"),
    ],
)
def test_settings_of_a_design_out_of_range(settings, message):
    assert refused(lambda: es.EieConfig(**settings)) == message


def test_numpy_numbers_make_the_same_design_as_pythons():
    ours = es.EieConfig(n_pe=16, queue_depth=4, accumulator_bits=24, clock_mhz=500.0)
    assert es.EieConfig(clock_mhz=Fraction(1, 1000)).clock_mhz == 0.001
    theirs = es.EieConfig(
        n_pe=np.int16(16), queue_depth=np.uint64(4), accumulator_bits=np.int8(24), clock_mhz=np.int64(500)
    )
    assert theirs == ours
    assert [type(value) for value in theirs.to_dict().values()] == [type(value) for value in ours.to_dict().values()]


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"weight": 31}, "scales.weight=31: must be an integer in -15..30"),
        ({"weight": -16}, "scales.weight=-16: must be an integer in -15..30"),
        ({"activation": 1.0}, "scales.activation=1.0: must be an integer in -15..30"),
        ({"activation": True}, "scales.activation=True: must be an integer in -15..30"),
        ({"accumulator": "3"}, "scales.accumulator='3': must be an integer in -30..60"),
        ({"accumulator": np.nan}, "scales.accumulator=nan: must be an integer in -30..60"),
        ({"weight": 3, "activation": 4, "accumulator": 8}, "scales.accumulator=8: must be <= weight + activation = 7"),
    ],
)
def test_scales_out_of_range(scales, message):
    assert refused(lambda: es.Scales(**scales)) == message


@pytest.mark.parametrize("activation", [-15, -1, 15, 30])
def test_beside_a_bias_1_must_be_a_word(activation):
    scales, said = es.Scales(weight=1, activation=activation), "must be in 0..14 beside a bias, which 1.0 drives"
    eye = np.eye(2, dtype=np.uint8)
    for make in (
        lambda: es.EieMatrix.from_dense(eye, bias=[0.0, 0.0], scales=scales),
        lambda: es.EieMatrix.from_codes(eye, [0.0, 1.0], bias_codes=[0, 0], scales=scales),
        lambda: es.EieMatrix.from_dense(eye, bias=[0.0, 0.5]).with_scales(scales),
    ):
        assert refused(make) == f"scales.activation={activation}: {said}"
    assert es.EieMatrix.from_dense(eye, scales=scales).scales == scales


def test_scales_of_small_numpy_integers_do_not_overflow():
    # A bias is driven by 2**activation, which is 0 in 8 bits.
    results = []
    for kind in (int, np.int8):
        scales = es.Scales(weight=kind(8), activation=kind(14), accumulator=kind(8))
        matrix = es.EieMatrix.from_codes([[1], [0]], [0.0, 1.0, 2.0, 3.0], n_pe=2, bias_codes=[2, 3], scales=scales)
        results.append(es.simulate(matrix, [1.0], es.EieConfig(n_pe=2, weight_bits=2)).output.tolist())
    assert results == [[768, 768], [768, 768]]


def test_integer_weights_do_not_cut_the_bias_to_integers():
    matrix = es.EieMatrix.from_dense(np.array([[1], [0]]), bias=[0.25, 0.5], n_pe=1, weight_bits=2)
    assert matrix.codebook.tolist() == [0.0, 0.25, 0.5, 1.0]
    assert matrix.decode().tolist() == [[3, 1], [0, 2]]


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "\x1b[31m", "\u202e"])
def test_a_value_that_does_not_print_is_quoted(value):
    for call in (lambda: require(False, "field", value, "must be plain"), lambda: require_int("field", value, 0)):
        assert refused(call).startswith(f"field={value!r}: must be ")
    assert str(unknown("field", value, ["name"])) == f"field={value!r}: unknown; must be one of name"


def test_of_many_known_names_the_first_are_said_and_the_others_counted():
    names = [f"name{at:03}" for at in range(100)]
    said = str(unknown("field", "zzz", names))
    assert said == f"field=zzz: unknown; must be one of {', '.join(names[:22])} and 78 more"
    assert len(said) < 260
    assert str(unknown("field", "zzz", ["x" * 300, "y" * 300])).endswith(f"{'x' * 300} and 1 more")


@pytest.mark.parametrize(
    "call",
    [
        lambda: es.EieMatrix.from_dense(np.eye(3), n_pe=10**5000),
        lambda: es.EieMatrix.from_dense(np.eye(3), n_pe="x" * 100_000),
        lambda: es.EieMatrix.from_dense(np.eye(3), scales="x"),
        lambda: es.EieMatrix.from_codes([[1]], [0.0, 1.0], scales=(1, 2, 3)),
        lambda: es.EieMatrix.from_dense(np.eye(3), activations=np.ones((2, 3, 3))),
        lambda: es.simulate(es.EieMatrix.from_dense(np.eye(3)), np.ones(3), engine=np.array(["fast", "x"])),
        lambda: es.simulate(es.EieMatrix.from_dense(np.eye(3)), 10**400),
    ],
)
def test_odd_values_are_one_short_line(call):
    with pytest.raises(es.InputError) as error:
        call()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_small_numpy_integers_do_not_overflow():
    dense = np.random.default_rng(0).normal(size=(300, 3))
    plain = es.EieMatrix.from_dense(dense, n_pe=1, index_bits=8, weight_bits=8)
    small = es.EieMatrix.from_dense(dense, n_pe=np.uint8(1), index_bits=np.uint8(8), weight_bits=np.int8(8))
    np.testing.assert_array_equal(small.codes, plain.codes)
    np.testing.assert_array_equal(small.gaps, plain.gaps)


ARRAY = np.array([1, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: es.simulate(None, None), "matrix=NoneType: must be EieMatrix or NmMatrix"),
        (lambda: es.simulate(matrix_of(), [1, 2, 3], timeline=ARRAY), "timeline=ndarray: must be bool"),
        (lambda: es.footprint(np.eye(2), n_pe=ARRAY), "n_pe=array([1, 2]): must be an integer in 1..65536"),
        (lambda: es.footprint(matrix_of(), n_pe=ARRAY), "n_pe=array([1, 2]): must be an integer in 1..65536"),
        (lambda: es.footprint(matrix_of(), index_bits=ARRAY), "index_bits=array([1, 2]): must be an integer in 1..8"),
        (lambda: es.footprint(matrix_of(), weight_bits="4"), "weight_bits='4': must be an integer in 1..8"),
    ],
)
def test_arguments_of_another_type(call, message):
    assert refused(call) == message


def wide(n_column):
    """One weight in the last column of very many."""
    return scipy.sparse.coo_array(([1.0], ([0], [n_column - 1])), shape=(n_column, n_column))


@pytest.mark.compiled
def test_a_matrix_too_large_to_be_dense_is_not_decoded_and_runs():
    matrix = es.EieMatrix.from_dense(wide(2**20), n_pe=1)
    rule = "must have at most 2147483648 positions to be decoded to a dense array"
    assert refused(matrix.decode) == f"weights=shape (1048576, 1048576): {rule}"
    network = es.load(wide(2**20), activations=np.ones(2**20, np.float32))
    run = es.run_network(network, es.EieConfig(n_pe=1))
    assert (run.verified, run.layers[0].verification.weights) == (True, 2**40)


def test_outputs_of_all_vectors_have_a_limit():
    matrix = es.EieMatrix.from_dense(scipy.sparse.coo_array(([1.0], ([0], [0])), shape=(2**20, 1)), n_pe=1)
    said = "activations=257 vectors: must give at most 268435456 outputs over all vectors, 1048576 each"
    for call in (lambda: es.simulate(matrix, np.ones((257, 1))), lambda: matrix.multiply(np.ones((257, 1)))):
        assert refused(call) == said


@pytest.mark.compiled
def test_counts_of_many_vectors_and_pes_take_no_memory_each():
    matrix = es.EieMatrix.from_dense(np.eye(3), n_pe=4096)
    es.simulate(matrix, np.ones(3))
    tracemalloc.start()
    result = es.simulate(matrix, np.ones((200, 3)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    np.testing.assert_array_equal(result.counts, 200 * es.simulate(matrix, np.ones(3)).counts)
    assert result.cycles == result.cycles_per_vector.sum()


MASKED = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 1], [0, 0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda: es.EieMatrix.from_dense(MASKED),
        lambda: es.EieMatrix.from_dense([MASKED[0], MASKED[1]]),
        lambda: es.EieMatrix.from_dense(np.eye(2), bias=MASKED[0]),
        lambda: es.EieMatrix.from_codes(MASKED.astype(np.uint8), [0, 1]),
        lambda: es.simulate(es.EieMatrix.from_dense(np.eye(2)), MASKED),
        lambda: es.footprint(MASKED),
        lambda: es.load(MASKED),
        lambda: es.load({"fc1.weight": MASKED}),
        lambda: es.load(np.eye(2), activations=MASKED),
        lambda: es.network.Layer(name="fc1", weights=MASKED, weights_source="made up", synthetic=True),
    ],
)
def test_a_mask_is_not_lost(call):
    assert "=a masked array: must be a plain array" in refused(call)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i2", "g"])
def test_dense_arrays_of_any_byte_order_and_width(dtype):
    dense = np.array([[1, 0, 3], [0, 2, 0]]).astype(dtype)
    plain, odd = es.EieMatrix.from_dense(dense.astype(float), n_pe=2), es.EieMatrix.from_dense(dense, n_pe=2)
    assert odd.codebook.tolist() == plain.codebook.tolist()
    np.testing.assert_array_equal(odd.decode(), plain.decode())
    assert es.footprint(dense) == es.footprint(dense.astype(float))
    assert es.load(dense).layers[0].weights.tolist() == dense.astype(float).tolist()
    vector = np.array([1, 2, 3]).astype(dtype)
    np.testing.assert_array_equal(
        es.simulate(plain, vector).output, es.simulate(plain, vector.astype(vector.dtype.newbyteorder("="))).output
    )


def test_big_endian_words_are_a_raw_codebook_too():
    words = np.array([0, 7], dtype=">i2")
    assert es.EieMatrix.from_codes([[1]], words, scales=es.Scales(weight=2)).codebook.tolist() == [0.0, 1.75]
