"""A pure function over named axes: planned, compiled once, run in blocks, kept and resumed."""

from adamlab.sweep.axes import check_axes, parse_axes
from adamlab.sweep.devices import float_dtype
from adamlab.sweep.execute import DEFAULT_MEMORY, open_sweep, sweep
from adamlab.sweep.identity import identity
from adamlab.sweep.provenance import provenance

__all__ = [
    "DEFAULT_MEMORY",
    "check_axes",
    "float_dtype",
    "identity",
    "open_sweep",
    "parse_axes",
    "provenance",
    "sweep",
]
