"""Scipy matrices whose arrays were edited: every door refuses them in one line, none follows them out of bounds."""

import numpy as np
import pytest
import scipy.sparse as sp

import eie_sim as es
from eie_sim.core.sparse import as_csc, checked
from eie_sim.deep_compression import compress_layer

DENSE = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [4.0, 0.0, 5.0], [0.0, 0.0, 6.0]])
FORMS = ("csr", "csc", "bsr", "coo", "dia", "lil", "dok")
DOORS = {
    "from_dense": es.EieMatrix.from_dense,
    "footprint": lambda matrix: es.footprint(matrix, n_pe=2),
    "load": es.load,
    "mapping": lambda matrix: es.load({"fc1.weight": matrix}),
    "Layer": lambda matrix: es.network.Layer(name="fc1", weights=matrix, weights_source="made up", synthetic=True),
    "compress_layer": lambda matrix: compress_layer(matrix, weight_bits=4, index_bits=4),
}


def refused(call):
    with pytest.raises(es.InputError) as error:
        call()
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


def compressed(form, **parts):
    matrix = getattr(sp, f"{form}_array")(DENSE)
    for name, values in parts.items():
        setattr(matrix, name, values)
    return matrix


def coo(row, col, data=(1.0, 2.0)):
    matrix = sp.coo_array(([1.0, 2.0], ([0, 1], [0, 1])), shape=(4, 3))
    matrix.coords, matrix.data = (np.array(row), np.array(col)), np.array(data)
    return matrix


def lil(row):
    matrix = sp.lil_array(DENSE)
    matrix.rows[0] = row
    return matrix


def dia(offsets):
    matrix = sp.dia_array(DENSE)
    matrix.offsets = np.array(offsets)
    return matrix


FORGED = {
    "index too large": lambda: compressed("csc", indices=np.full(6, 10**8, np.int32)),
    "index below 0": lambda: compressed("csc", indices=np.full(6, -(10**8), np.int32)),
    "pointer too large": lambda: compressed("csc", indptr=np.array([0, 2, 3, 10**8], np.int32)),
    "pointers that end at 0": lambda: compressed("csc", indptr=np.array([0, 10**8, 10**8, 0], np.int32)),
    "pointers that end below 0": lambda: compressed("csc", indptr=np.array([0, 10**8, 1, -1], np.int32)),
    "pointers that fall": lambda: compressed("csc", indptr=np.array([0, 10**8, 0, 6], np.int32)),
    "first pointer below 0": lambda: compressed("csc", indptr=np.array([-(10**8), 2, 3, 6], np.int32)),
    "few pointers": lambda: compressed("csc", indptr=np.array([0, 6], np.int32)),
    "no pointers": lambda: compressed("csc", indptr=None),
    "fractions": lambda: compressed("csc", indices=np.full(6, 0.5)),
    "few values": lambda: compressed("csc", data=np.ones(2)),
    "values in a list": lambda: compressed("csc", data=[1.0, 2.0]),
    "masked values": lambda: compressed("csc", data=np.ma.array(np.ones(6), mask=True)),
    "rows too large": lambda: compressed("csr", indices=np.full(6, 10**8, np.int32)),
    "row pointers that end at 0": lambda: compressed("csr", indptr=np.array([0, 10**8, 1, 1, 0], np.int32)),
    "blocks too large": lambda: compressed("bsr", indices=np.full(6, 10**8, np.int32)),
    "coordinates too large": lambda: coo([0, 10**8], [0, 1]),
    "coordinates below 0": lambda: coo([0, 1], [0, -(10**8)]),
    "few coordinates": lambda: coo([0], [0]),
    "one axis": lambda: coo([0, 1], [0]),
    "row lists": lambda: lil([10**8, 2]),
    "short row lists": lambda: lil([0]),
    "offsets": lambda: dia([[0, 1]]),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("forgery", FORGED)
def test_forged_matrices_are_refused_at_every_door(door, forgery):
    refused(lambda: DOORS[door](FORGED[forgery]()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["?", "i1", ">i2", "u8", "f2", ">f2", "f4", ">f4", "f8", ">f8", "g"])
def test_real_numbers_of_every_kind_and_format(form, dtype):
    matrix = getattr(sp, f"{form}_array")(DENSE)
    if form in ("csr", "csc", "bsr", "coo", "dia"):  # the others hold Python's numbers
        matrix.data = matrix.data.astype(dtype)
    csc = as_csc("weights", matrix)
    assert csc.dtype.isnative
    np.testing.assert_array_equal(csc.toarray(), DENSE != 0 if csc.dtype == bool else DENSE)
    assert es.EieMatrix.from_dense(matrix, n_pe=2).n_weight == es.footprint(matrix)["coo"].parts["values"] // 16 == 6


@pytest.mark.parametrize("dtype", [object, complex])
@pytest.mark.parametrize("door", DOORS)
def test_other_values_are_refused(dtype, door):
    matrix = sp.csc_array(DENSE)
    matrix.data = matrix.data.astype(dtype)
    assert f"dtype {np.dtype(dtype)}" in refused(lambda: DOORS[door](matrix))


@pytest.mark.parametrize("door", DOORS)
def test_what_only_looks_sparse_is_refused(door):
    class Looks:
        def tocsc(self):
            raise AssertionError

    refused(lambda: DOORS[door](Looks()))


@pytest.mark.parametrize("shape", [(1, 2**31), (2**31, 1), (2**40, 2**40)])
@pytest.mark.parametrize("door", DOORS)
def test_sides_that_would_wrap_are_refused(shape, door):
    matrix = sp.coo_array(([1.0], ([0], [0])), shape=shape)
    assert "shape" in refused(lambda: DOORS[door](matrix))


def test_more_columns_than_pointers_are_made_for():
    matrix = sp.coo_array(([1.0], ([0], [0])), shape=(1, 2**27 + 1))
    said = refused(lambda: es.EieMatrix.from_dense(matrix))
    assert said == "weights=shape (1, 134217729): must have at most 134217728 columns"


def test_the_matrix_of_the_caller_stays_as_it_was():
    matrix = sp.csr_array(([1.0, 2.0, 0.0], [2, 2, 0], [0, 3, 3]), shape=(2, 3))
    kept = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()
    np.testing.assert_array_equal(as_csc("weights", matrix).toarray(), [[0, 0, 3], [0, 0, 0]])
    checked("weights", matrix).data[:] = matrix.data
    for array, before in zip((matrix.data, matrix.indices, matrix.indptr), kept, strict=True):
        np.testing.assert_array_equal(array, before)
