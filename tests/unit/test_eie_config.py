import numpy as np
import pytest

from eie_sim.units.eie.config import EieConfig


def test_the_design_of_the_paper_peaks_at_102_gops():
    """64 PEs, a multiply and an add each, at 800 MHz (Han et al. 2016, abstract)."""
    assert EieConfig().peak_gops == pytest.approx(102.4)
    assert EieConfig(n_pe=3, clock_mhz=500).peak_gops == 3.0


@pytest.mark.parametrize(
    ("codes", "gaps", "width", "entries"), [(4, 4, 64, 8), (8, 8, 64, 4), (3, 4, 64, 9), (4, 4, 8, 1)]
)
def test_a_row_holds_whole_entries(codes, gaps, width, entries):
    config = EieConfig(weight_bits=codes, index_bits=gaps, spmat_width_bits=width)
    assert (config.entry_bits, config.entries_per_row) == (codes + gaps, entries)


def test_numbers_become_plain_whatever_they_were():
    given = EieConfig(n_pe=np.int8(4), queue_depth=np.uint16(2), clock_mhz=np.float32(400)).to_dict()
    assert given == EieConfig(n_pe=4, queue_depth=2, clock_mhz=400).to_dict()
    assert {name: type(value) for name, value in given.items()} == {
        name: float if name == "clock_mhz" else str if name in ("rounding", "active") else int for name in given
    }
