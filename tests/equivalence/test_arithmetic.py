"""The arithmetic over all scales that are allowed: both engines and the oracle against Python's unbounded integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from strategies import cases

import eie_sim as es
from eie_sim.core import golden
from eie_sim.core.fixed import n_saturated
from eie_sim.units.eie import functional, reference


def summed(case):
    """Raw accumulators of a case, entry by entry in broadcast order, from section IV's rules alone."""
    scales, config = case.matrix.scales, case.config
    limit = 2 ** (config.accumulator_bits - 1)
    shift = scales.weight + scales.activation - scales.accumulator
    half = 2**shift // 2 if config.rounding == "nearest" else 0
    driven, codes = case.activations.tolist(), case.codes
    if config.active == "positive":
        driven = [max(value, 0) for value in driven]
    if case.bias_codes is not None:
        driven, codes = [*driven, 2**scales.activation], np.column_stack([codes, case.bias_codes])
    words = [round(Fraction(value) * Fraction(2) ** scales.weight) for value in case.matrix.codebook.tolist()]
    outputs = []
    for row in codes.tolist():
        total = 0
        for code, value in zip(row, driven, strict=True):
            if code != 0 and value != 0:
                total = min(max(total + ((words[code] * value + half) >> shift), -limit), limit - 1)
        outputs.append(total)
    return outputs


@given(cases())
def test_engines_and_oracle_add_as_unbounded_integers_do(case):
    expected = summed(case)
    assert functional.accumulate(case.matrix, case.activations, case.config).tolist() == expected
    assert reference.run(case.matrix, case.activations, case.config).output.tolist() == expected
    config = case.config
    rules = golden.Arithmetic(
        **case.matrix.scales.to_dict(),
        accumulator_bits=config.accumulator_bits,
        rounding=config.rounding,
        active=config.active,
    )
    codes = case.codes if case.bias_codes is None else np.column_stack([case.codes, case.bias_codes])
    assert golden.matmul(golden.nonzeros(codes), case.matrix.codebook, case.activations, rules).output.tolist() == [
        expected
    ]


@pytest.fixture(params=["fast", "reference"])
def run(request):
    def simulated(weights, activations, **design):
        bias = design.pop("bias", None)
        config = es.EieConfig(n_pe=2, weight_bits=2, **design)
        matrix = es.EieMatrix.from_dense(np.array(weights), n_pe=2, weight_bits=2, bias=bias)
        return es.simulate(matrix, np.array(activations), config, engine=request.param)

    return simulated


@pytest.mark.parametrize(
    ("weight", "value", "scales", "output"),
    [
        # 1e-6 is 1074 of 2**-30, twice the output 17,180 of 2**-33: 1074 x 2**14 >> 11
        (1e-6, 1.0, (30, 14, 33), 1074 * 8),
        # 1e6 is 31,250 of 2**5, twice the output 31,250 of 2**6: 31,250 x 2**14 >> 15
        (1e6, 1.0, (-5, 14, -6), 15625),
        # 1e5 is 25,000 of 2**2, twice the output 100,000 x 2 = 25,000 of 2**3: 2**14 x 25,000 >> 15
        (1.0, 1e5, (14, -2, -3), 12500),
        # 1e9 is 30,518 of 2**15; its square is 931,348,324 of 2**30, which saturates
        (1e9, 1e9, (-15, -15, -30), 32767),
        (-1e9, 1e9, (-15, -15, -30), -32768),
        # 2**-30 is one unit, and so is its square of 2**-60
        (2.0**-30, 2.0**-30, (30, 30, 60), 1),
        (1e-20, 1e-20, (30, 30, 60), 0),
        (0.5, 0.0, (15, 0, 0), 0),
    ],
)
def test_scales_and_output_of_one_product(run, weight, value, scales, output):
    result = run([[weight]], [value])
    assert tuple(result.scales.values()) == scales
    assert result.output.tolist() == [output]


def test_beside_a_bias_large_inputs_saturate_and_1_is_a_word(run):
    """0.5 x 32767 is 4095.875 units of 4, 2**12 x 32767 >> 15; the bias of 2 is half a unit, which goes up."""
    nearest = run([[0.5]], [1e5], bias=[2.0])
    assert nearest.scales == {"weight": 13, "activation": 0, "accumulator": -2}
    assert nearest.output.tolist() == [4096 + 1]
    assert run([[0.5]], [1e5], bias=[2.0], rounding="floor").output.tolist() == [4095]
    assert n_saturated([1e5], nearest.scales["activation"]) == 1


def test_rounding_is_to_nearest_unless_asked_otherwise():
    assert es.EieConfig() == es.EieConfig(rounding="nearest") != es.EieConfig(rounding="floor")
