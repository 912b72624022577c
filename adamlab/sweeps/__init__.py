"""A pure function over named axes: planned, compiled once, run in blocks, saved and resumed."""

from adamlab.sweeps.axes import SEED, check_axes, parse_axes, reusable
from adamlab.sweeps.devices import float_dtype, use_all_cores
from adamlab.sweeps.execute import DEFAULT_MEMORY, open_sweep, sweep
from adamlab.sweeps.executors import blocks_here
from adamlab.sweeps.identity import without_addresses
from adamlab.sweeps.provenance import provenance
from adamlab.sweeps.refusals import OtherFormatError, OtherSweepError
from adamlab.sweeps.structure import by_label, over_structures

__all__ = [
    "DEFAULT_MEMORY",
    "SEED",
    "OtherFormatError",
    "OtherSweepError",
    "blocks_here",
    "by_label",
    "check_axes",
    "float_dtype",
    "open_sweep",
    "over_structures",
    "parse_axes",
    "provenance",
    "reusable",
    "sweep",
    "use_all_cores",
    "without_addresses",
]
