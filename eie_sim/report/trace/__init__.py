"""Timelines of one vector on a unit: Chrome trace JSON for the Perfetto UI, VCD for waveform viewers, text."""

from eie_sim.report.trace.file import default_file, require_trace_file, write_trace
from eie_sim.report.trace.record import (
    about,
    closing,
    heading,
    require_few_cycles,
    require_few_pes,
    trace_record,
    window_of,
)

__all__ = [
    "about",
    "closing",
    "default_file",
    "heading",
    "require_few_cycles",
    "require_few_pes",
    "require_trace_file",
    "trace_record",
    "window_of",
    "write_trace",
]
