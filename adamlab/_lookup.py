"""Error messages for unknown names: where it is, the nearest, or ours for another library's."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from adamlab._checks import nearest


def lookup(
    package: str,
    known: Sequence[str],
    rooms: Sequence[str] = (),
    beside: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: its name.
        known: its public names.
        rooms: its subpackages, imported on first access; the error for a name that one of them has
            says where it is.
        beside: other packages whose names may be looked for here, and what such a name is there.
    """

    def find(name: str) -> Any:
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        if name.startswith("_"):  # Python's own lookups
            raise AttributeError(f"{package} has no {name!r}")
        for room in rooms:
            if name in importlib.import_module(f"{package}.{room}").__all__:
                raise AttributeError(f"{package} has no {name!r}: it is {package}.{room}.{name}")
        for other, what in beside.items():
            if name in importlib.import_module(other).__all__:
                raise AttributeError(f"{package} has no {name!r}: {what} {other}.{name}")
        raise AttributeError(f"{package} has no {name!r}: {nearest(name, known)}")

    return find


def underlying(function: Any) -> Any:
    """The function behind `functools.partial`s."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


_DECAYS = [{f"b{n}", f"beta{n}", f"beta_{n}"} for n in (1, 2, 3)]
_SAME = [
    {"learning_rate", "lr"}, {"eps", "epsilon"},
    {"initial_accumulator_value", "initial_accumulator"}, *_DECAYS,
]  # fmt: skip
"""What different libraries call one argument of an optimizer."""

_FOREIGN = {"lr", "epsilon", "betas", "beta_1"}
"""Names that only `adamlab.compat` takes."""

_INSTEAD = {
    **dict.fromkeys(
        ("mu_dtype", "nu_dtype", "accumulator_dtype", "state_dtype"),
        "stages.store_state(optimizer, mu=jnp.bfloat16) stores a part of its state so",
    ),
    "weight_decay": "optimizers.adamw and stages.add_decayed_weights decay apart from the "
    "gradient, optimizers.adam_l2 and stages.add_l2 through it",
    "amsgrad": "optimizers.amsgrad is an optimizer of its own, amsgrad_torch that of PyTorch",
    "nesterov": "optimizers.nadam is Adam with Nesterov's momentum",
    **dict.fromkeys(
        ("clipnorm", "global_clipnorm", "max_norm", "max_grad_norm"),
        "chain(clip_by_global_norm(1.0), optimizer) clips the gradient before it",
    ),
    "clipvalue": "chain(stages.clip(1.0), optimizer) clips the gradient before it",
    **dict.fromkeys(
        ("use_ema", "ema_momentum"),
        "chain(optimizer, stages.average_parameters(0.99)) keeps an average of the parameters",
    ),
    "maximize": "give it the gradient of what is to be minimized",
    **dict.fromkeys(
        ("fused", "foreach", "capturable", "jit_compile"), "jit the training step instead"
    ),
}
"""Where an argument that an optimizer lacks is to be found."""


def what_instead(name: str, known: Sequence[str]) -> str:
    """The end of a message about an argument `name` that is not among `known`."""
    here = _called_here(name, known)
    if not here:
        return _INSTEAD.get(name) or nearest(name, known)
    compat = "; adamlab.compat takes other libraries' arguments" * _FOREIGN.isdisjoint(known)
    return f"here it is {' and '.join(here)}{compat} (known: {', '.join(known)})"


def _called_here(name: str, known: Sequence[str]) -> list[str]:
    """The names among `known` for what others call `name`."""
    both = _DECAYS[0] | _DECAYS[1]
    if name in both and "betas" in known:
        return ["betas"]
    same = both if name == "betas" else set().union(*(group for group in _SAME if name in group))
    return [other for other in known if other in same]
