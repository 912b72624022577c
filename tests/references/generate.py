"""Run the reference implementations over the fixture and keep where they go.

The libraries that `adamlab.compat` follows are asked for their arguments too.

    python tests/references/generate.py [--check] [name ...]

writes trajectories.npz, trajectories.json and arguments.json beside this file, or with --check only
compares what the installed packages have and compute with what is stored. requirements.txt names
the packages.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import inspect
import io
import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from fixture import (
    BLOCKS_GRADIENTS,
    BLOCKS_START,
    FULL_RANK_GRADIENTS,
    FULL_RANK_START,
    GRADIENTS,
    LEARNING_RATES,
    SAVED,
    SHOWN,
    START,
    STARTS,
    STEPS,
    Params,
    gradient,
    hessian_diagonal,
)

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

HERE = Path(__file__).parent
ARRAYS, RECORDS = HERE / "trajectories.npz", HERE / "trajectories.json"
ARGUMENTS = HERE / "arguments.json"
TOLERANCE = 1e-13

LR, EPS, DECAY = 1e-2, 1e-8, 0.1
BETAS = (0.9, 0.99)

Hyper = dict[str, Any]
Drive = Callable[[str, Hyper], Iterator[Params]]


class Entry(NamedTuple):
    """One reference: the package it comes from, how it is driven, and with which numbers."""

    package: str
    target: str
    hyper: Hyper
    drive: Drive
    note: str = ""


def resolve(target: str) -> Any:
    """The object that a dotted path names."""
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


# Torch


def _torch() -> Any:
    """Torch in float64 throughout: some optimizers keep scalars in the default dtype."""
    torch = importlib.import_module("torch")
    torch.set_default_dtype(torch.float64)
    return torch


def _tensors(dtype: Any = None, start: Params = START) -> dict[str, Any]:
    torch = _torch()
    return {
        name: torch.nn.Parameter(torch.tensor(x, dtype=dtype or torch.float64))
        for name, x in start.items()
    }


def _set_gradients(params: dict[str, Any], step: int, gradients: Params = GRADIENTS) -> None:
    torch = _torch()
    for name, g in gradient(step, gradients).items():
        params[name].grad = torch.tensor(g, dtype=params[name].dtype)


def _values(params: dict[str, Any]) -> Params:
    return {name: p.detach().double().numpy().copy() for name, p in params.items()}


def _nothing(_: int) -> Hyper:
    return {}


def _steps(
    params: dict[str, Any],
    optimizer: Any,
    arguments: Callable[[int], Hyper] = _nothing,
    scheduled: bool = False,
    gradients: Params = GRADIENTS,
) -> Iterator[Params]:
    for step in range(STEPS):
        _set_gradients(params, step, gradients)
        if scheduled:
            for group in optimizer.param_groups:
                group["lr"] = float(LEARNING_RATES[step])
        optimizer.step(**arguments(step))
        yield _values(params)


def torch_optimizer(target: str, hyper: Hyper) -> Iterator[Params]:
    """A torch optimizer over both leaves."""
    params = _tensors()
    return _steps(params, resolve(target)(list(params.values()), **hyper))


def torch_scheduled(target: str, hyper: Hyper) -> Iterator[Params]:
    """A torch optimizer under the fixture's learning rates."""
    params = _tensors()
    return _steps(params, resolve(target)(list(params.values()), **hyper), scheduled=True)


# pytorch_optimizer, for short ko after its author


def ko_optimizer(target: str, hyper: Hyper) -> Iterator[Params]:
    """A pytorch_optimizer class, without the 1e-15 that it adds under some square roots."""
    _drop_root_epsilon()
    return torch_optimizer(target, {"foreach": False, **hyper})


def ko_normalized(target: str, hyper: Hyper) -> Iterator[Params]:
    """Its AdamC under the fixture's learning rates, w being the leaf before a normalization."""
    _drop_root_epsilon()
    params = _tensors()
    groups = [{"params": [params["w"]], "normalized": True}, {"params": [params["b"]]}]
    return _steps(params, resolve(target)(groups, foreach=False, **hyper), scheduled=True)


def ko_hessian(target: str, hyper: Hyper) -> Iterator[Params]:
    """A second-order one, fed the fixture's Hessian diagonals whenever its period asks."""
    params = _tensors()
    optimizer = resolve(target)(list(params.values()), foreach=False, **hyper)

    def arguments(step: int) -> Hyper:
        if step % optimizer.update_period:
            return {}
        torch = _torch()
        return {"hessian": [torch.tensor(hessian_diagonal(step)[name]) for name in params]}

    return _steps(params, optimizer, arguments)


def ko_reduced(target: str, hyper: Hyper) -> Iterator[Params]:
    """Its AdaShift, whose block reduction is named by a string or is none."""
    reduction = hyper["reduce_func"]
    reduction = getattr(_torch(), reduction) if reduction else None
    return ko_optimizer(target, {**hyper, "reduce_func": reduction})


def ko_double_states(target: str, hyper: Hyper) -> Iterator[Params]:
    """Its FAdam, whose states are float32 unless told otherwise."""
    double = _torch().float64
    return ko_optimizer(target, {**hyper, "momentum_dtype": double, "fim_dtype": double})


def ko_lookahead(target: str, hyper: Hyper) -> Iterator[Params]:
    """Its Lookahead over torch's Adam."""
    torch, params, hyper = _torch(), _tensors(), dict(hyper)
    k, alpha = hyper.pop("k"), hyper.pop("alpha")
    base = torch.optim.Adam(list(params.values()), **hyper)
    return _steps(params, resolve(target)(base, k=k, alpha=alpha))


def ko_soap(target: str, hyper: Hyper) -> Iterator[Params]:
    """Its SOAP on the leaves of full rank, its QR decompositions in float64, not float32."""
    torch, module = _torch(), importlib.import_module("pytorch_optimizer.optimizer.soap")
    double = types.ModuleType("torch")
    vars(double).update(vars(torch), float32=torch.float64)
    kept, module.torch = module.torch, double
    try:
        params = _tensors(start=FULL_RANK_START)
        optimizer = resolve(target)(list(params.values()), **hyper)
        yield from _steps(params, optimizer, gradients=FULL_RANK_GRADIENTS)
    finally:
        module.torch = kept


def _drop_root_epsilon() -> None:
    resolve("pytorch_optimizer.base.optimizer.BaseOptimizer").apply_ams_bound.__defaults__ = (0.0,)


def named(**names: str) -> Drive:
    """A torch optimizer that treats parameters by name, called with these names of w and b."""

    def drive(target: str, hyper: Hyper) -> Iterator[Params]:
        params = _tensors()
        pairs = [(names[name], p) for name, p in params.items()]
        return _steps(params, resolve(target)(pairs, verbose=False, **hyper))

    return drive


def torch_bfloat16(target: str, hyper: Hyper) -> Iterator[Params]:
    """A torch optimizer over parameters and gradients in bfloat16."""
    params = _tensors(_torch().bfloat16)
    return _steps(params, resolve(target)(list(params.values()), **hyper))


def ao_eight_bit(target: str, hyper: Hyper) -> Iterator[Params]:
    """A torchao optimizer in float32 over the leaf that is large enough for 8 bits, uncompiled.

    Its signed map has 1 without -1. Here it has both, and zero twice for the smallest magnitude.
    """
    torch = _torch()
    params = _tensors(torch.float32, BLOCKS_START)
    optimizer = resolve(target)(list(params.values()), **hyper)
    for step in range(STEPS):
        _set_gradients(params, step, BLOCKS_GRADIENTS)
        torch.set_default_dtype(torch.float32)  # what 8 bits are read as
        with (
            mock.patch.object(torch, "compile", lambda function, **_: function),
            mock.patch("torchao.optim.subclass_8bit.get_qmap_signed", _odd_map),
        ):
            optimizer.step()
        yield {name: x[SHOWN] for name, x in _values(params).items()}


def _odd_map() -> tuple[float, ...]:
    whole = resolve("torchao.optim.quant_utils.create_dynamic_map")(signed=True)
    zero = whole.index(0.0)
    return (-1.0, *whole[: zero - 1], 0.0, 0.0, *whole[zero + 2 :])


def torch_schedule_free(target: str, hyper: Hyper) -> Iterator[Params]:
    """A schedule-free optimizer, seen at its evaluation point x."""
    params = _tensors()
    optimizer = resolve(target)(list(params.values()), **hyper)
    for step in range(STEPS):
        optimizer.train()
        _set_gradients(params, step)
        optimizer.step()
        optimizer.eval()
        yield _values(params)


def old_torch_optimizer(target: str, hyper: Hyper) -> Iterator[Params]:
    """A torch optimizer written for the removed order of arguments: scalar before tensor."""
    with _scalar_first():
        yield from torch_optimizer(target, hyper)


@contextlib.contextmanager
def _scalar_first() -> Iterator[None]:
    """Within it x.add_(a, y) means x + a * y, and so for the other methods that scale a tensor."""
    tensor = _torch().Tensor
    keywords = {"add": "alpha", "add_": "alpha", "addcmul_": "value", "addcdiv_": "value"}
    kept = {name: getattr(tensor, name) for name in keywords}
    for name, keyword in keywords.items():
        setattr(tensor, name, _reordered(kept[name], keyword))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(tensor, name, method)


def _reordered(method: Callable[..., Any], keyword: str) -> Callable[..., Any]:
    def call(tensor: Any, first: Any, *rest: Any, **options: Any) -> Any:
        if rest and isinstance(first, int | float):
            return method(tensor, *rest, **{keyword: first})
        return method(tensor, first, *rest, **options)

    return call


def timm_optimizer(target: str, hyper: Hyper) -> Iterator[Params]:
    """An optimizer of timm, imported without the models, which would need torchvision."""
    if "timm" not in sys.modules:
        path = str(metadata.distribution("timm").locate_file("timm"))
        for name, content in {"timm": {"__path__": [path]}, "timm.models": {}}.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(content, group_parameters=None)
    return torch_optimizer(target, hyper)


# JAX


def _jax() -> Any:
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


def _arrays(values: Params) -> dict[str, Any]:
    numpy = _jax().numpy
    return {name: numpy.asarray(x) for name, x in values.items()}


def _transformed(
    transformation: Any,
    read: Callable[[Any, Any], Any] = lambda _, params: params,
    extra: Callable[[int], Hyper] = _nothing,
    wrap: Callable[[Any], Any] = lambda params: params,
) -> Iterator[Params]:
    optax = importlib.import_module("optax")
    params = wrap(_arrays(START))
    state = transformation.init(params)
    for step in range(STEPS):
        updates, state = transformation.update(
            _arrays(gradient(step)), state, params, **extra(step)
        )
        params = optax.apply_updates(params, updates)
        yield {name: np.asarray(x) for name, x in read(state, params).items()}


def optax_optimizer(target: str, hyper: Hyper) -> Iterator[Params]:
    """An Optax optimizer."""
    _jax()
    return _transformed(resolve(target)(**hyper))


def optax_lookahead(target: str, hyper: Hyper) -> Iterator[Params]:
    """Optax's lookahead over its Adam, seen at the fast parameters."""
    _jax()
    hyper = dict(hyper)
    lookahead = {key: hyper.pop(key) for key in ("sync_period", "slow_step_size")}
    return _transformed(
        resolve(target)(resolve("optax.adam")(**hyper), **lookahead),
        read=lambda _, params: params.fast,
        wrap=resolve("optax.LookaheadParams").init_synced,
    )


def optax_schedule_free(target: str, hyper: Hyper) -> Iterator[Params]:
    """Optax's schedule-free AdamW, seen at its evaluation point x."""
    _jax()
    return _transformed(
        resolve(target)(**hyper), read=resolve("optax.contrib.schedule_free_eval_params")
    )


def optax_sophia(target: str, hyper: Hyper) -> Iterator[Params]:
    """Optax's Sophia, fed the fixture's Hessian diagonals in place of an estimator."""
    _jax()
    optax = importlib.import_module("optax")
    given = optax.GradientTransformationExtraArgs(
        lambda _: optax.EmptyState(),
        lambda _, state, params=None, *, diagonal: (diagonal, state),
    )
    return _transformed(
        resolve(target)(hessian_diagonal_fn=given, **hyper),
        extra=lambda step: {"diagonal": _arrays(hessian_diagonal(step))},
    )


def optax_adafactor(target: str, hyper: Hyper) -> Iterator[Params]:
    """Optax's Adafactor with its decay rate computed in float64, not float32."""
    _jax()
    module: Any = importlib.import_module("optax._src.factorized")
    exact = functools.partial(
        module.scale_by_factored_rms,
        decay_rate_fn=lambda step, exponent: 1.0 - (step + 1.0) ** -exponent,
    )
    kept, module.scale_by_factored_rms = module.scale_by_factored_rms, exact
    try:
        transformation = resolve(target)(**hyper)
    finally:
        module.scale_by_factored_rms = kept
    return _transformed(transformation)


def keras_optimizer(target: str, hyper: Hyper) -> Iterator[Params]:
    """A Keras optimizer on its JAX backend."""
    _jax()
    keras = importlib.import_module("keras")
    keras.config.set_floatx("float64")
    variables = {name: keras.Variable(x, dtype="float64") for name, x in START.items()}
    optimizer = resolve(target)(**hyper)
    optimizer.build(list(variables.values()))
    for step in range(STEPS):
        grads = _arrays(gradient(step))
        optimizer.apply([grads[name] for name in variables], list(variables.values()))
        yield {name: np.asarray(v.value) for name, v in variables.items()}


def keras_with_wide_means(target: str, hyper: Hyper) -> Iterator[Params]:
    """As `keras_optimizer`, where `keras.ops.mean` keeps float64."""
    importlib.import_module("keras")
    jnp = importlib.import_module("jax.numpy")

    def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return jnp.mean(jnp.asarray(x), axis=axis, keepdims=keepdims)

    with mock.patch("keras.src.ops.mean", mean):
        yield from keras_optimizer(target, hyper)


# The table


def _torch_entry(package: str, target: str, note: str = "", **hyper: Any) -> Entry:
    return Entry(package, target, hyper, torch_optimizer, note)


def _ko(name: str, note: str = "", drive: Drive = ko_optimizer, **hyper: Any) -> Entry:
    return Entry("pytorch_optimizer", f"pytorch_optimizer.{name}", hyper, drive, note)


def _optax(target: str, note: str = "", drive: Drive = optax_optimizer, **hyper: Any) -> Entry:
    return Entry("optax", f"optax.{target}", hyper, drive, note)


def _keras(name: str, note: str = "", **hyper: Any) -> Entry:
    return Entry("keras", f"keras.optimizers.{name}", hyper, keras_optimizer, note)


def _timm(name: str, note: str = "", **hyper: Any) -> Entry:
    return Entry("timm", f"timm.optim.{name}", hyper, timm_optimizer, note)


B1, B2 = BETAS
TORCH: Hyper = {"lr": LR, "betas": BETAS, "eps": EPS}
BARE: Hyper = {**TORCH, "eps": 0.0}
OPTAX: Hyper = {"learning_rate": LR, "b1": B1, "b2": B2, "eps": EPS}
KERAS: Hyper = {"learning_rate": LR, "beta_1": B1, "beta_2": B2, "epsilon": 1e-3}

SCALAR_FIRST = "its calls with the scalar before the tensor, removed from torch, are reordered"
NO_ROOT_EPSILON = "the 1e-15 it adds under the root is set to 0"
NO_EPSILON = (
    "without epsilon, which it adds before the bias correction and the paper after it; "
    f"{NO_ROOT_EPSILON}"
)

ENTRIES: dict[str, Entry] = {
    # Adam and its decay
    "adam": _torch_entry("torch", "torch.optim.Adam", **TORCH),
    "adam_keras": _keras("Adam", "epsilon is added before the bias correction", **KERAS),
    "adam_l2": _torch_entry("torch", "torch.optim.Adam", weight_decay=DECAY, **TORCH),
    "adamw": _torch_entry("torch", "torch.optim.AdamW", weight_decay=DECAY, **TORCH),
    "adamw_independent": _torch_entry(
        "torch-optimi",
        "optimi.AdamW",
        "decay is not multiplied by the constant learning rate",
        decouple_lr=True,
        weight_decay=1e-3,
        **TORCH,
    ),
    "adamw_independent_scheduled": Entry(
        "torch-optimi",
        "optimi.AdamW",
        {"decouple_lr": True, "weight_decay": 1e-3, **TORCH},
        torch_scheduled,
        "under the fixture's learning rates; decay times lr / first lr",
    ),
    "adamc": _ko(
        "AdamC",
        f"under the fixture's learning rates; w is in a normalized group, b is not; {NO_EPSILON}",
        drive=ko_normalized,
        weight_decay=1.0,
        **BARE,
    ),
    "adamw_cautious_decay": _torch_entry(
        "adam-atan2-pytorch",
        "adam_atan2_pytorch.AdamAtan2",
        "a = b is so large that the arc tangent is a division: Adam without epsilon; "
        "lr * decay is 2**-10, exact in the mask's float32",
        lr=2.0**-7,
        weight_decay=2.0**-3,
        betas=BETAS,
        cautious_wd=True,
        a=2.0**27,
        b=2.0**27,
    ),
    "adams_stable_decay": _ko("AdamS", weight_decay=DECAY, **TORCH),
    "adamd": _ko("AdamS", "without decay it is Adam", weight_decay=0.0, adam_debias=True, **TORCH),
    # The maximum of the second moment
    "amsgrad": _optax("amsgrad", "corrects, then takes the maximum", **OPTAX),
    "amsgrad_torch": _torch_entry(
        "torch", "torch.optim.Adam", "takes the maximum, then corrects", amsgrad=True, **TORCH
    ),
    "amsgrad_keras": _keras(
        "Adam", "takes the maximum, then corrects; epsilon before it", amsgrad=True, **KERAS
    ),
    "adabound": Entry(
        "adabound",
        "adabound.AdaBound",
        {"final_lr": 0.05, "gamma": 0.005, **TORCH},
        old_torch_optimizer,
        SCALAR_FIRST,
    ),
    "amsbound": Entry(
        "adabound",
        "adabound.AdaBound",
        {"final_lr": 0.05, "gamma": 0.005, "amsbound": True, **TORCH},
        old_torch_optimizer,
        SCALAR_FIRST,
    ),
    # The numerator
    "adamw_torch_amsgrad": _torch_entry(
        "torch", "torch.optim.AdamW", amsgrad=True, weight_decay=DECAY, **TORCH
    ),
    "nadam_torch_decay": _torch_entry(
        "torch",
        "torch.optim.NAdam",
        "decay in the gradient",
        momentum_decay=0.004,
        weight_decay=DECAY,
        **TORCH,
    ),
    "radam_torch_decoupled": _torch_entry(
        "torch",
        "torch.optim.RAdam",
        weight_decay=DECAY,
        decoupled_weight_decay=True,
        **TORCH,
    ),
    "adamax_torch_decay": _torch_entry(
        "torch", "torch.optim.Adamax", "decay in the gradient", weight_decay=DECAY, **TORCH
    ),
    "rmsprop_torch_all": _torch_entry(
        "torch",
        "torch.optim.RMSprop",
        "centred, with momentum and decay",
        lr=LR,
        alpha=0.9,
        eps=1e-3,
        momentum=0.8,
        centered=True,
        weight_decay=DECAY,
    ),
    "adagrad_torch_decay": _torch_entry(
        "torch", "torch.optim.Adagrad", lr=LR, lr_decay=0.1, weight_decay=DECAY, eps=1e-3
    ),
    "sgd_torch": _torch_entry(
        "torch", "torch.optim.SGD", lr=LR, momentum=0.9, nesterov=True, weight_decay=DECAY
    ),
    "sgd_torch_dampening": _torch_entry(
        "torch", "torch.optim.SGD", lr=LR, momentum=0.9, dampening=0.3, weight_decay=DECAY
    ),
    "sgd_keras": _keras(
        "SGD",
        "the learning rate inside the momentum",
        learning_rate=LR,
        momentum=0.9,
        nesterov=True,
    ),
    "lamb_keras": _keras("Lamb", **KERAS),
    "adafactor_keras": Entry(
        "keras",
        "keras.optimizers.Adafactor",
        {"learning_rate": 0.5},
        keras_with_wide_means,
        "its means, which it computes in float32, in float64",
    ),
    "adamw_keras": _keras("AdamW", weight_decay=DECAY, **KERAS),
    "rmsprop_keras": _keras(
        "RMSprop",
        "epsilon under the root; the learning rate inside the momentum",
        learning_rate=LR,
        rho=0.9,
        epsilon=1e-3,
        momentum=0.8,
        centered=True,
    ),
    "adagrad_keras": _keras(
        "Adagrad", learning_rate=LR, initial_accumulator_value=0.1, epsilon=1e-3
    ),
    "lion_keras": _keras("Lion", learning_rate=LR, beta_1=0.9, beta_2=0.99, weight_decay=DECAY),
    "nadam": _optax("nadam", **OPTAX),
    "nadam_torch": _torch_entry("torch", "torch.optim.NAdam", momentum_decay=4e-3, **TORCH),
    "nadam_keras": _keras("Nadam", "epsilon is added after the bias correction", **KERAS),
    "qhadam": Entry(
        "qhoptim",
        "qhoptim.pyt.QHAdam",
        {"nus": (0.7, 0.9), "weight_decay": DECAY, "decouple_weight_decay": True, **TORCH},
        old_torch_optimizer,
        SCALAR_FIRST,
    ),
    "adan": _ko(
        "Adan",
        "decay is proximal: a division after the step",
        weight_decay=DECAY,
        lr=LR,
        betas=(0.98, 0.92, 0.99),
        eps=EPS,
    ),
    "adan_optimi": _torch_entry(
        "torch-optimi",
        "optimi.Adan",
        weight_decay=DECAY,
        lr=LR,
        betas=(0.98, 0.92, 0.99),
        eps=EPS,
        kahan_sum=False,
    ),
    "adan_optax": _optax(
        "adan",
        "has 1 - b2 where the paper has b2, twice; decay is not proximal",
        learning_rate=LR,
        b1=0.98,
        b2=0.92,
        b3=0.99,
        eps=EPS,
        eps_root=EPS,
        weight_decay=DECAY,
    ),
    "ademamix": _optax("contrib.ademamix", b3=0.98, alpha=2.0, weight_decay=DECAY, **OPTAX),
    "simplified_ademamix": _optax(
        "contrib.simplified_ademamix", alpha=3.0, weight_decay=DECAY, **OPTAX
    ),
    "adapnm": _ko(
        "AdaPNM",
        NO_EPSILON,
        lr=LR,
        betas=(0.9, 0.99, 0.7),
        eps=0.0,
        weight_decay=DECAY,
        ams_bound=False,
    ),
    "adapnm_amsgrad": _ko(
        "AdaPNM",
        f"its default; {NO_EPSILON}",
        lr=LR,
        betas=(0.9, 0.99, 0.7),
        eps=0.0,
        weight_decay=DECAY,
        ams_bound=True,
    ),
    "adanorm": _ko("AdaNorm", NO_EPSILON, r=0.95, weight_decay=DECAY, **BARE),
    "diffgrad": _torch_entry("torch-optimizer", "torch_optimizer.DiffGrad", **TORCH),
    "exadam": _ko("EXAdam", weight_decay=DECAY, **TORCH),
    "mars": _ko(
        "MARS",
        f"approximate form; the gradient before the first is 0; {NO_EPSILON}",
        gamma=0.05,
        mars_type="adamw",
        optimize_1d=True,
        weight_decay=DECAY,
        **BARE,
    ),
    "mars_timm": _timm(
        "Mars",
        "approximate form; the first gradient is taken as it is",
        gamma=0.05,
        mars_type="adamw",
        optimize_1d=True,
        weight_decay=DECAY,
        **TORCH,
    ),
    "cautious_adamw": _timm(
        "AdamWLegacy",
        "the mask is divided by max(its mean, 1e-3)",
        caution=True,
        weight_decay=DECAY,
        foreach=False,
        **TORCH,
    ),
    "grams": _torch_entry(
        "grams-pytorch",
        "grams.Grams",
        "epsilon before the bias correction",
        weight_decay=DECAY,
        **TORCH,
    ),
    "ano": _ko("Ano", lr=LR, betas=(0.92, 0.99), eps=EPS, weight_decay=DECAY),
    "optimistic_adam": _optax(
        "optimistic_adam_v2",
        "with nesterov off, which is not its default",
        alpha=1.5,
        beta=0.5,
        nesterov=False,
        **OPTAX,
    ),
    # The denominator
    "radam": _optax("radam", threshold=5.0, **OPTAX),
    "radam_torch": _torch_entry(
        "torch", "torch.optim.RAdam", "epsilon before the bias correction", **TORCH
    ),
    "adamax": _torch_entry(
        "torch",
        "torch.optim.Adamax",
        "epsilon is added to the gradient's magnitude",
        lr=LR,
        betas=BETAS,
        eps=1e-3,
    ),
    "adamax_keras": _keras("Adamax", "epsilon is added to the maximum", **KERAS),
    "adabelief": _optax("adabelief", eps_root=EPS, **OPTAX),
    "adabelief_torch": _torch_entry(
        "adabelief-pytorch",
        "adabelief_pytorch.AdaBelief",
        "without its default rectification",
        weight_decay=DECAY,
        weight_decouple=True,
        rectify=False,
        print_change_log=False,
        **TORCH,
    ),
    "yogi": _optax(
        "yogi",
        "both moments start at 1e-6 and are bias-corrected all the same",
        **{**OPTAX, "eps": 1e-3},
    ),
    "padam": _ko("PAdam", partial=0.125, **TORCH),
    "msvag": _ko("MSVAG", lr=LR, beta=0.9),
    "adam_atan2": _torch_entry(
        "adam-atan2-pytorch",
        "adam_atan2_pytorch.AdamAtan2",
        lr=LR,
        betas=BETAS,
        weight_decay=DECAY,
        a=1.27,
        b=0.8,
    ),
    "adam_atan2_cautious_decay": _torch_entry(
        "adam-atan2-pytorch",
        "adam_atan2_pytorch.AdamAtan2",
        "lr * decay is 2**-10, exact in the mask's float32",
        lr=2.0**-7,
        weight_decay=2.0**-3,
        betas=BETAS,
        cautious_wd=True,
        a=1.27,
        b=0.8,
    ),
    "adam_atan2_cautious": _torch_entry(
        "adam-atan2-pytorch",
        "adam_atan2_pytorch.AdamAtan2",
        "the mask is divided by max(its mean, 1e-5)",
        lr=LR,
        betas=BETAS,
        cautious_factor=0.0,
        a=1.27,
        b=0.8,
    ),
    "stableadamw": _torch_entry(
        "torch-optimi",
        "optimi.StableAdamW",
        "the decay is scaled by the clipped learning rate",
        weight_decay=DECAY,
        **TORCH,
    ),
    "avagrad": _ko(
        "AvaGrad",
        "the first step moves nothing; its scale is computed from the moment before the update",
        lr=LR,
        betas=BETAS,
        eps=1e-2,
        weight_decay=DECAY,
    ),
    "adashift": _ko("AdaShift", drive=ko_reduced, keep_num=5, reduce_func=None, **TORCH),
    "adashift_max": _ko("AdaShift", drive=ko_reduced, keep_num=5, reduce_func="max", **TORCH),
    "adai": _ko("Adai", lr=LR, betas=(0.1, 0.99), eps=1e-3, dampening=1.0),
    "fadam": _ko(
        "FAdam",
        "its states are set to float64",
        drive=ko_double_states,
        p=0.5,
        clip=1.0,
        eps_2=0.01,
        weight_decay=DECAY,
        **{**TORCH, "eps": 0.03},
    ),
    "adamod": _torch_entry("torch-optimizer", "torch_optimizer.AdaMod", beta3=0.95, **TORCH),
    # The order of the stages
    "laprop": _timm("LaProp", weight_decay=DECAY, foreach=False, **TORCH),
    "laprop_epsilon_hat": _ko(
        "LaProp",
        f"epsilon before the bias correction; decay after the step; {NO_ROOT_EPSILON}",
        weight_decay=DECAY,
        **TORCH,
    ),
    "laprop_cautious": _ko(
        "LaProp",
        f"the mask is multiplied by n / (its sum + 1); as laprop_epsilon_hat otherwise; "
        f"{NO_ROOT_EPSILON}",
        cautious=True,
        weight_decay=DECAY,
        **TORCH,
    ),
    "adopt": _optax("contrib.adopt", "clips at t**(1/4), t from 0", **{**OPTAX, "eps": 1e-6}),
    "acprop": _optax("contrib.acprop", eps_root=EPS, weight_decay=DECAY, **OPTAX),
    # Blocks and layers
    "novograd": _optax("novograd", weight_decay=DECAY, **{**OPTAX, "b2": 0.25}),
    "lamb": _optax("lamb", weight_decay=DECAY, **{**OPTAX, "eps": 1e-6}),
    "adafactor": _optax(
        "adafactor",
        "its decay rate is computed in float64, not float32",
        drive=optax_adafactor,
        learning_rate=LR,
        min_dim_size_to_factor=2,
        decay_rate=0.8,
        multiply_by_parameter_scale=True,
        clipping_threshold=1.0,
        eps=1e-30,
    ),
    "adafactor_torch": _torch_entry(
        "torch",
        "torch.optim.Adafactor",
        lr=LR,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=DECAY,
    ),
    "sm3": _optax("sm3", learning_rate=LR, momentum=0.9),
    "sm3_torch": _ko("SM3", lr=LR, momentum=0.9, beta=0.0, eps=1e-8),
    "came": _torch_entry(
        "came-pytorch",
        "came_pytorch.CAME",
        lr=LR,
        eps=(1e-30, 1e-16),
        clip_threshold=1.0,
        betas=(0.9, 0.99, 0.995),
        weight_decay=DECAY,
    ),
    "adam_mini": Entry(
        "adam-mini",
        "adam_mini.Adam_mini",
        {"weight_decay": DECAY, **TORCH},
        named(w="mlp.weight", b="mlp.bias"),
        "w is an MLP's weight: a second moment a row; b is a bias: plain Adam, no decay",
    ),
    "adam_mini_tensor": Entry(
        "adam-mini",
        "adam_mini.Adam_mini",
        {"weight_decay": DECAY, **TORCH},
        named(w="w", b="b"),
        "neither name is known to it: a second moment a leaf",
    ),
    "adam_mini_heads": Entry(
        "adam-mini",
        "adam_mini.Adam_mini",
        {"weight_decay": DECAY, "dim": 4, "n_heads": 2, **TORCH},
        named(w="wq", b="b"),
        "w is a query's weight: a second moment for every 8 elements in a row, b is as a leaf",
    ),
    "adamp": _torch_entry(
        "adamp",
        "adamp.AdamP",
        "delta is large, so that the projection acts on some steps",
        delta=1.0,
        wd_ratio=0.1,
        weight_decay=DECAY,
        **TORCH,
    ),
    # The eigenbasis of Shampoo
    "soap": _ko(
        "SOAP",
        "on the leaves of full rank; its QR decompositions are computed in float64, not float32; "
        "the authors' soap.py, its eigenvectors in float64 as well, is 4e-15 away",
        drive=ko_soap,
        shampoo_beta=0.95,
        precondition_frequency=5,
        max_precondition_dim=8,
        weight_decay=DECAY,
        **TORCH,
    ),
    # Curvature
    "adahessian": _ko(
        "AdaHessian",
        "fed the fixture's Hessian diagonals at every step",
        drive=ko_hessian,
        hessian_power=1.0,
        update_period=1,
        weight_decay=DECAY,
        **TORCH,
    ),
    "sophia": _optax(
        "contrib.sophia",
        "fed the fixture's Hessian diagonals at steps 1, 6, 11, ...",
        drive=optax_sophia,
        gamma=2.0,
        clip_threshold=1.0,
        update_interval=5,
        weight_decay=DECAY,
        **OPTAX,
    ),
    "sophia_torch": _ko(
        "SophiaH",
        "fed the fixture's Hessian diagonals at steps 1, 6, 11, ...",
        drive=ko_hessian,
        p=0.5,
        update_period=5,
        weight_decay=DECAY,
        **TORCH,
    ),
    # Signs
    "lion": _torch_entry(
        "lion-pytorch", "lion_pytorch.Lion", lr=LR, betas=BETAS, weight_decay=DECAY
    ),
    "signum": _optax("signum", learning_rate=LR, beta=0.9),
    "tiger": _ko("Tiger", lr=LR, beta=0.9, weight_decay=DECAY),
    # Squares without momentum, and sums
    "rmsprop": _optax("rmsprop", "epsilon under the root", learning_rate=LR, decay=0.9, eps=1e-3),
    "rmsprop_torch": _torch_entry(
        "torch", "torch.optim.RMSprop", "epsilon beside the root", lr=LR, alpha=0.9, eps=1e-3
    ),
    "rmsprop_centered": _optax("rmsprop", learning_rate=LR, decay=0.9, eps=1e-3, centered=True),
    "adagrad": _optax(
        "adagrad",
        "epsilon under the root",
        learning_rate=LR,
        initial_accumulator_value=0.1,
        eps=1e-3,
    ),
    "adagrad_torch": _torch_entry(
        "torch",
        "torch.optim.Adagrad",
        "epsilon beside the root",
        lr=LR,
        initial_accumulator_value=0.1,
        eps=1e-3,
    ),
    "madgrad": _torch_entry("madgrad", "madgrad.MADGRAD", lr=LR, momentum=0.9, eps=1e-6),
    # Learning rates found on the way
    "prodigy": _torch_entry(
        "prodigyopt",
        "prodigyopt.Prodigy",
        "without bias correction, its default",
        d0=1e-3,
        d_coef=2.0,
        weight_decay=DECAY,
        **{**TORCH, "lr": 1.0},
    ),
    "prodigy_optax": _optax(
        "contrib.prodigy",
        "with bias correction always",
        learning_rate=1.0,
        betas=BETAS,
        eps=EPS,
        estim_lr0=1e-3,
        estim_lr_coef=2.0,
        weight_decay=DECAY,
    ),
    "dadapt_adam": _torch_entry(
        "dadaptation",
        "dadaptation.DAdaptAdam",
        "without bias correction, its default",
        d0=1e-3,
        decouple=True,
        weight_decay=DECAY,
        **{**TORCH, "lr": 1.0},
    ),
    "dadapt_adam_optax": _optax(
        "contrib.dadapt_adamw",
        "with bias correction always",
        learning_rate=1.0,
        betas=BETAS,
        eps=EPS,
        estim_lr0=1e-3,
        weight_decay=DECAY,
    ),
    # Averages of the parameters
    "schedule_free_adamw": Entry(
        "schedulefree",
        "schedulefree.AdamWScheduleFree",
        {"weight_decay": DECAY, "foreach": False, **TORCH},
        torch_schedule_free,
        "the evaluation point x",
    ),
    "schedule_free_adamw_warmup": Entry(
        "schedulefree",
        "schedulefree.AdamWScheduleFree",
        {"weight_decay": DECAY, "foreach": False, "warmup_steps": 10, **TORCH},
        torch_schedule_free,
        "the evaluation point x",
    ),
    "schedule_free_optax": _optax(
        "contrib.schedule_free_adamw",
        "the evaluation point x",
        drive=optax_schedule_free,
        weight_decay=DECAY,
        **OPTAX,
    ),
    "lookahead_adam": _optax(
        "lookahead",
        "over optax.adam; the fast parameters",
        drive=optax_lookahead,
        sync_period=6,
        slow_step_size=0.5,
        **OPTAX,
    ),
    "lookahead_adam_torch": _ko(
        "Lookahead",
        "over torch.optim.Adam; the fast parameters",
        drive=ko_lookahead,
        k=6,
        alpha=0.5,
        **TORCH,
    ),
    "ranger": _torch_entry(
        "torch-optimi",
        "optimi.Ranger",
        "RAdam under Lookahead; the fast parameters",
        k=6,
        alpha=0.5,
        decouple_wd=True,
        weight_decay=DECAY,
        **TORCH,
    ),
    # Rounding
    "adamw_kahan": Entry(
        "torch-optimi",
        "optimi.AdamW",
        {"kahan_sum": True, "weight_decay": 0.0, **TORCH, "lr": 1e-3},
        torch_bfloat16,
        "parameters, gradients and moments in bfloat16; no decay, as it would be lost to rounding",
    ),
    "adamw_8bit": Entry(
        "torchao",
        "torchao.optim.AdamW8bit",
        {"weight_decay": DECAY, **TORCH},
        ao_eight_bit,
        "its map has -1 beside 1; a leaf of 4096 in float32, of which every 16th element is stored",
    ),
}


# The arguments of the libraries

LIBRARIES = {
    "torch": {
        name.lower(): f"torch.optim.{name}"
        for name in (
            "SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adafactor",
        )
    },
    "keras": {
        name.lower(): f"keras.optimizers.{name}"
        for name in (
            "SGD", "Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Adagrad", "Adafactor", "Lamb",
            "Lion",
        )
    },
    "optax": {
        "adan": "optax.adan",
        "optimistic_adam_v2": "optax.optimistic_adam_v2",
        "prodigy": "optax.contrib.prodigy",
        "dadapt_adamw": "optax.contrib.dadapt_adamw",
        "sophia": "optax.contrib.sophia",
    },
}  # fmt: skip


def arguments_of(target: str) -> Hyper:
    """The arguments of an optimizer with a default that is a number, a pair, a flag or none."""
    parameters = inspect.signature(resolve(target)).parameters
    plain = {bool, int, float, tuple, type(None)}
    return {
        name: list(p.default) if isinstance(p.default, tuple) else p.default
        for name, p in parameters.items()
        if type(p.default) in plain
    }


def arguments() -> dict[str, Any]:
    """The arguments of the optimizers of each library that is installed."""
    return {
        library: {name: arguments_of(target) for name, target in targets.items()}
        for library, targets in LIBRARIES.items()
        if installed(library)
    }


# The files


def installed(package: str) -> str | None:
    """The version of a package, or none where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def trajectory(entry: Entry) -> Params:
    """The parameters of one reference at the saved steps, by leaf."""
    with contextlib.redirect_stdout(io.StringIO()):
        states = list(entry.drive(entry.target, entry.hyper))
    return {name: np.stack([states[t - 1][name] for t in SAVED]) for name in states[0]}


def record(entry: Entry) -> dict[str, Any]:
    """What the data file's reader must know of one reference."""
    return {
        "package": entry.package,
        "version": installed(entry.package),
        "class": entry.target,
        "hyperparameters": entry.hyper,
        "note": entry.note,
    }


def stored() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and records on disk, empty where there are none."""
    if not ARRAYS.exists():
        return {}, {}
    with np.load(ARRAYS) as arrays:
        return dict(arrays), json.loads(RECORDS.read_text())


def write(names: list[str]) -> None:
    """Compute the named references and store them beside the others."""
    arrays, records = stored()
    for name in names:
        for leaf, values in trajectory(ENTRIES[name]).items():
            arrays[f"{name}/{leaf}"] = values
        records[name] = record(ENTRIES[name])
    records = {name: records[name] for name in ENTRIES if name in records}
    keys = [f"{name}/{leaf}" for name in records for leaf in STARTS]
    kept = {key: arrays[key] for key in keys if key in arrays}
    np.savez_compressed(ARRAYS, allow_pickle=False, **kept)
    RECORDS.write_text(json.dumps(records, indent=1) + "\n")
    known = json.loads(ARGUMENTS.read_text()) if ARGUMENTS.exists() else {}
    ARGUMENTS.write_text(json.dumps(known | arguments(), indent=1) + "\n")


def difference(name: str, arrays: dict[str, np.ndarray]) -> float:
    """How far the computed trajectory is from the stored, relative to the largest displacement."""
    found = trajectory(ENTRIES[name])
    gap = max(np.abs(found[leaf] - arrays[f"{name}/{leaf}"]).max() for leaf in found)
    moved = max(np.abs(found[leaf] - STARTS[leaf]).max() for leaf in found)
    return float(gap / moved)


def check(names: list[str]) -> bool:
    """Whether the named references compute what is stored; says what differs."""
    arrays, records = stored()
    bad = []
    for name in names:
        if name not in records:
            print(f"{name}: not stored")
            bad.append(name)
        elif (gap := difference(name, arrays)) > TOLERANCE:
            print(f"{name}: differs by {gap:.1e}")
            bad.append(name)
    known = json.loads(ARGUMENTS.read_text())
    for library, found in arguments().items():
        if found != known.get(library):
            print(f"{library}: other arguments than those stored")
            bad.append(library)
    print(f"{len(names)} compared, {len(bad)} differ")
    return not bad


def main() -> int:
    """Write or check the references named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, usage="generate.py [--check] [name ...]")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("names", nargs="*", metavar="name", help="the references; all by default")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ENTRIES):
        parser.error(f"no reference is called {', '.join(sorted(unknown))}")
    names = []
    for name in options.names or ENTRIES:
        if installed(ENTRIES[name].package):
            names.append(name)
        else:
            print(f"{name}: skipped, {ENTRIES[name].package} is not installed")
    if options.check:
        return 0 if check(names) else 1
    write(names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
