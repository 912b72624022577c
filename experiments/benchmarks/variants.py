"""Every variant's step beside Adam's, and beside the same in Optax: time, bytes moved, state."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab as al
from adamlab import optimizers as opt
from adamlab.analysis import bootstrap
from experiments.benchmarks.measure import keep, table
from experiments.benchmarks.steps import Compiled, beside, compiled, plain_step

LEAVES, SHAPE = 10, (640, 625)
PARAMETERS = LEAVES * SHAPE[0] * SHAPE[1]
# Beside Optax more placements of the arrays are looked at: the ratios there are near one.
PLACEMENTS, BESIDE_OPTAX, ROUNDS, CONTROLS = 3, 61, 21, 8
RATE = 1e-3
COLUMNS = [
    "optimizer", "time / Adam's", "time / Optax's", "bytes", "Optax's", "temporary", "state",
]  # fmt: skip

FOR_BFLOAT16 = ("adamw_kahan", "adamw_stochastic_rounding")

OPTAX: dict[str, Callable[[], Any]] = {
    "acprop": partial(optax.contrib.acprop, RATE),
    "adabelief": partial(optax.adabelief, RATE),
    "adafactor": partial(optax.adafactor, RATE),
    "adagrad": partial(optax.adagrad, RATE),
    "adam": partial(optax.adam, RATE),
    "adamax": partial(optax.adamax, RATE),
    "adamw": partial(optax.adamw, RATE),
    "adan": partial(optax.adan, RATE),
    "ademamix": partial(optax.contrib.ademamix, RATE),
    "adopt": partial(optax.contrib.adopt, RATE),
    "amsgrad": partial(optax.amsgrad, RATE),
    "dadapt_adam": partial(optax.contrib.dadapt_adamw, RATE),
    "lamb": partial(optax.lamb, RATE),
    "lion": partial(optax.lion, RATE),
    "madgrad": partial(optax.contrib.madgrad, RATE),
    "nadam": partial(optax.nadam, RATE),
    "novograd": partial(optax.novograd, RATE),
    "optimistic_adam": partial(optax.optimistic_adam_v2, RATE, nesterov=False),
    "prodigy": partial(optax.contrib.prodigy, RATE),
    "radam": partial(optax.radam, RATE),
    "rmsprop": partial(optax.rmsprop, RATE),
    "schedule_free_adamw": partial(optax.contrib.schedule_free_adamw, RATE),
    "sgd": partial(optax.sgd, RATE),
    "signum": partial(optax.signum, RATE),
    "simplified_ademamix": partial(optax.contrib.simplified_ademamix, RATE),
    "sm3": partial(optax.sm3, RATE),
    "yogi": partial(optax.yogi, RATE),
}


def main() -> None:
    """Measure, print and keep."""
    figures: dict[str, Any] = {}
    adams = {dtype: _step(al.adam(RATE), dtype) for dtype in (jnp.float32, jnp.bfloat16)}
    for name in opt.names():
        dtype = jnp.bfloat16 if name in FOR_BFLOAT16 else jnp.float32
        ours = _step(opt.example(name, RATE), dtype)
        beside_adam, _ = beside(ours, adams[dtype], PLACEMENTS, ROUNDS)
        row: dict[str, Any] = {"times_adam": statistics.median(beside_adam), **_bytes(ours)}
        if name in OPTAX:
            theirs = _step(OPTAX[name]())
            ratios, _ = beside(ours, theirs, BESIDE_OPTAX, ROUNDS)
            found = bootstrap(ratios, np.median)
            row["times_optax"], row["times_optax_from"], row["times_optax_to"] = found
            row["optax_bytes"] = _bytes(theirs)["bytes"]
        figures[name] = row
        print(f"  {name}: {row}", flush=True)
    print(
        f"{PARAMETERS:,} float32 parameters in {LEAVES} leaves (bfloat16 for "
        f"{' and '.join(FOR_BFLOAT16)}, and Adam beside them), median of {PLACEMENTS} placements, "
        f"of {BESIDE_OPTAX} beside Optax with the 95 % interval of it"
    )
    table(COLUMNS, cells(figures))
    ratios = [row["times_optax"] for row in figures.values() if "times_optax" in row]
    print(f"median over the {len(ratios)} that Optax has: {statistics.median(ratios):.2f}")
    # What the measure says of two equal programs: how far to trust the others.
    one, other = (_step(optax.adam(RATE)) for _ in range(2))
    measured = [beside(one, other, BESIDE_OPTAX, ROUNDS)[0] for _ in range(CONTROLS)]
    control = [statistics.median(ratios) for ratios in measured]
    print(f"Optax's Adam beside itself: {min(control):.2f} to {max(control):.2f}")
    kept = {"variants": figures, "control": control}
    keep("variants", "python -m experiments bench variants", kept)


def cells(figures: Mapping[str, Any]) -> list[list[str]]:
    """The figures as text, a row for each optimizer in `COLUMNS`."""
    return [
        [
            name, f"{row['times_adam']:.2f}",
            "{times_optax:.2f} [{times_optax_from:.2f}, {times_optax_to:.2f}]".format(**row)
            if "times_optax" in row
            else "",
            f"{row['bytes']:.1f}",
            f"{row['optax_bytes']:.1f}" if "optax_bytes" in row else "",
            f"{row['temporary']:.1f}", f"{row['state']:.2f}",
        ]
        for name, row in figures.items()
    ]  # fmt: skip


def _step(tx: optax.GradientTransformation, dtype: Any = jnp.float32) -> Compiled:
    curved = "hessian_diag" in al.stages.extra_args_of(tx)
    extra = (lambda grads: {"hessian_diag": grads}) if curved else None
    with jax.numpy_dtype_promotion("standard"):
        return compiled(*plain_step(tx, extra), [SHAPE] * LEAVES, dtype)


def _bytes(step: Compiled) -> dict[str, float]:
    """Bytes for each parameter."""
    names = {"accessed": "bytes", "temporary": "temporary", "state": "state"}
    return {name: step.sizes[theirs] / PARAMETERS for theirs, name in names.items()}
