"""Timelines of one vector on the EIE array: Chrome trace JSON for the Perfetto UI, VCD for waveform viewers, text."""

from eie_sim.report.trace.file import default_file, require_trace_file, write_trace
from eie_sim.report.trace.record import about, closing, heading, trace_record, window_of
from eie_sim.report.trace.text import blocks, legend, outputs, require_few_cycles, require_few_pes

__all__ = [
    "about",
    "blocks",
    "closing",
    "default_file",
    "heading",
    "legend",
    "outputs",
    "require_few_cycles",
    "require_few_pes",
    "require_trace_file",
    "trace_record",
    "window_of",
    "write_trace",
]
