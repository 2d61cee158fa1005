"""The words of the toy: what it counts, and what a lane spends a cycle on."""

from eie_sim.units.energy import LEAKAGE, PE_CYCLE
from eie_sim.units.unit import Word, Words


class ToyEvent(Word):
    MACS = 0, "multiply-accumulates, one per non-zero weight"
    ROW_STARTS = 1, "rows begun: a pointer read, an output written"


class ToyClass(Word):
    MAC = 0, "multiplying"
    START = 1, "beginning a row"
    WAITING = 2, "done, while other lanes are not"


COMPONENTS = {"macs": ("mac_array",), "row_starts": ("sram",), PE_CYCLE: ("clock",), LEAKAGE: (LEAKAGE,)}

WORDS = Words(
    events=ToyEvent,
    classes=ToyClass,
    totals={},
    useful=ToyClass.MAC,
    busy=(ToyClass.MAC, ToyClass.START),
    components=COMPONENTS,
    colours={"mac": "blue", "start": "orange", "waiting": "pale", "mac_array": "red", "sram": "sky", "clock": "purple"},
    columns={},
)
