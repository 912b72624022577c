"""convergence_map: trainings over a grid of hyperparameters, with the outcome of each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from adamlab._checks import check_flags
from adamlab._lookup import underlying
from adamlab.maps._arguments import OPTIMIZER, check_options, checked, several_optimizers
from adamlab.maps.outcomes import Criteria, check_criteria, with_outcomes
from adamlab.problems import Problem
from adamlab.stages import OneMinus
from adamlab.sweeps import (
    SEED,
    blocks_here,
    over_structures,
    reusable,
    sweep,
    use_all_cores,
    without_addresses,
)
from adamlab.training import (
    OptimizerFactory,
    Probe,
    checkpoint_steps,
    name_of_optimizer,
    plain_name,
    split_hyperparameters,
    train,
)

if TYPE_CHECKING:
    import xarray as xr

_Prepared = tuple[OptimizerFactory, dict[str, np.ndarray], dict[str, Any], list[str]]
"""An optimizer with its grid and its fixed values, checked, and what the probe sees of it."""


def convergence_map(
    problem: Problem,
    optimizer: OptimizerFactory | Sequence[OptimizerFactory] | Mapping[str, OptimizerFactory],
    axes: Mapping[str, Any],
    *,
    fixed: Mapping[str, Any] | None = None,
    seeds: int = 1,
    steps: int = 300,
    checkpoints: int = 32,
    curve: bool = False,
    probe: Probe | None = None,
    criteria: Criteria | None = None,
    **sweep_options: Any,
) -> xr.Dataset:
    """Train `problem` with `optimizer` at every point of a grid and classify each run's outcome.

    Args:
        problem: what to train.
        optimizer: a function such as `adamlab.adam`; to send runs to other processes it must be
            importable there. Several, as a list or by name, form an axis `optimizer`: each is a
            program of its own, and `store` is a folder with a sweep for each.
        axes: values by name of the optimizer's and the problem's hyperparameters; `1-b2` sweeps
            b2 by its complement. An axis `seed` lists seeds; otherwise they are 0 to `seeds` - 1.
        fixed: values of hyperparameters that are not swept.
        seeds: number of runs at each point, each from its own initial parameters and batches; 1
            where there is an axis `seed`.
        steps: updates in a run, >= 8.
        checkpoints: observations of the loss in a run, >= 8; see `adamlab.training.train`.
        curve: whether to keep the losses at the checkpoints, as the variable `curve`.
        probe: `probe(params, state, [data])` -> arrays by name, kept at each checkpoint; see
            `adamlab.training.train`.
        criteria: the numbers in the outcomes' definitions; a store does not keep them.
        sweep_options: `store`, `resume`, `executor`, `block`, `lanes`, `memory`, `paired` and
            `progress`, as for `adamlab.sweep`.

    Returns:
        A dataset in memory over the axes with the fields of `adamlab.training.Trace`, the problem's
        metrics, what the probe saw, `done` and `outcome`; what determined it is in the attributes.
        These nest; for NetCDF turn each into text with `json.dumps`, and back with `json.loads`.

    Raises:
        ValueError: a hyperparameter is unknown, missing, given twice or out of range, or as for
            `adamlab.sweep`.
        TypeError: an argument is of the wrong type.
        OSError: as for `adamlab.sweep`.
    """
    if not isinstance(problem, Problem):
        hint = "; call it" if callable(problem) else ""
        raise TypeError(f"problem={problem!r:.60}: must be an adamlab.Problem{hint}")
    check_criteria(criteria)
    check_flags(curve=curve)
    check_options(sweep_options, convergence_map)
    # Before an optimizer that is built for the checks starts JAX.
    use_all_cores(blocks_here(sweep_options.get("executor")))
    axes = reusable(axes)
    marks = checkpoint_steps(steps, checkpoints)
    settings = {"steps": steps, "checkpoints": checkpoints, "curve": curve}

    def prepare(each: OptimizerFactory) -> _Prepared:
        grid, constants = checked(problem, each, axes, fixed, seeds)
        point = constants | {name: v[0].item() for name, v in grid.items() if name != SEED}

        def one() -> Any:  # its key is made under the trace: alone it would be two programs more
            return train(problem, each, jax.random.key(0), point, steps=steps, probe=probe)

        return each, grid, constants, list(jax.eval_shape(one).probed)

    def run(prepared: _Prepared, store: Any) -> xr.Dataset:
        alone, grid, constants, probed = prepared
        return sweep(
            partial(_run, problem, alone, constants, steps, checkpoints, curve, probe),
            grid,
            settings=_settings(problem, alone, grid, constants) | settings,
            dims={name: {"step": marks} for name in ["curve"] * curve + probed},
            store=store,
            **sweep_options,
        )

    store = sweep_options.pop("store", None)
    several = several_optimizers(optimizer)
    if several is None:
        dataset = run(prepare(cast(OptimizerFactory, optimizer)), store)
    else:
        prepared = {}  # all of them, before any is run
        for label, each in several.items():
            try:
                prepared[label] = prepare(each)
            except Exception as error:
                error.add_note(
                    f"raised for the optimizer {label}; what only some of them have can be bound "
                    "by functools.partial, in a module of your own for the command line"
                )
                raise
        folder = None if store is None else Path(store)
        resume = bool(sweep_options.get("resume", False))
        dataset = over_structures(OPTIMIZER, prepared, run, folder, resume)
    return with_outcomes(dataset, criteria)


def _run(
    problem: Problem,
    optimizer: OptimizerFactory,
    fixed: Mapping[str, Any],
    steps: int,
    checkpoints: int,
    curve: bool,
    probe: Probe | None,
    /,
    key: jax.Array,
    **swept: Any,
) -> dict[str, Any]:
    """One run's `Trace` as a flat dict."""
    trace = train(
        problem, optimizer, key, {**fixed, **swept},
        steps=steps, checkpoints=checkpoints, curve=curve, probe=probe,
    )  # fmt: skip
    fields = trace._asdict()
    metrics, probed = fields.pop("metrics"), fields.pop("probed")
    for what, names in (("problem's metric", metrics), ("probe's", probed)):
        taken = {*fields, "outcome", OPTIMIZER, *(metrics if names is probed else ())}
        clash = sorted(set(names) & taken)
        if clash:
            raise ValueError(
                f"the {what} {clash[0]!r} has the name of a statistic or an axis: rename it"
            )
    if not curve:
        del fields["curve"]
    return {**fields, **metrics, **probed}


def _settings(
    problem: Problem,
    optimizer: OptimizerFactory,
    axes: Mapping[str, np.ndarray],
    fixed: Mapping[str, Any],
) -> dict[str, Any]:
    """What determines the results besides the axes, in the problem and the optimizer, for JSON."""
    values = {name: 0.0 for name in axes if name != SEED}
    chosen, for_problem = split_hyperparameters(problem, optimizer, {**values, **fixed})
    inner = underlying(optimizer)
    signature = inspect.signature(inner)
    bound = signature.bind_partial(
        *getattr(optimizer, "args", ()), **(getattr(optimizer, "keywords", {}) | chosen)
    )
    bound.apply_defaults()
    own = {
        name: bound.arguments[name]
        for name, p in signature.parameters.items()
        if name in bound.arguments and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    constants = {**own, **for_problem, **chosen}
    swept = {plain_name(name) for name in axes}
    return {
        "problem": problem.name,
        "optimum": problem.optimum,
        "target": problem.target,
        "tolerance": problem.tolerance,
        "optimizer": name_of_optimizer(optimizer),
        "fixed": {n: _json(v) for n, v in sorted(constants.items()) if n not in swept},
    }


def _json(value: Any) -> Any:
    if isinstance(value, OneMinus):
        return f"1-{_json(value.value)}"
    is_key = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
    if np.ndim(value) == 0 and isinstance(value, np.generic | jax.Array) and not is_key:
        return np.asarray(value).item()
    if isinstance(value, str | int | float | None):
        return value
    named = underlying(value)  # a label; the program tells namesakes apart
    return getattr(named, "__qualname__", None) or " ".join(without_addresses(repr(value)).split())
