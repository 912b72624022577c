"""One optimizer step, compiled with donated buffers and ready to be timed; PyTorch's beside it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments.benchmarks.measure import in_turn, paired_ratio

Shapes = Sequence[tuple[int, ...]]
Init = Callable[[Any], Any]
Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""From parameters, state and gradients to new parameters and state."""


def plain_step(
    tx: optax.GradientTransformation, extra: Callable[[Any], dict[str, Any]] | None = None
) -> tuple[Init, Step]:
    """The step of an optimizer; `extra` makes its further arguments from the gradients."""
    extended = optax.with_extra_args_support(tx)

    def step(params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        given = {} if extra is None else extra(grads)
        updates, state = extended.update(grads, state, params, **given)
        return optax.apply_updates(params, updates), state

    return extended.init, step


# What libraries call a first and a second moment and the rest, in our words.
_SAME = {
    "ema": "mu", "trace": "mu", "m": "mu", "m1": "mu", "s": "mu", "m2": "mu_slow", "n": "nu",
    "sum_of_squares": "nu", "grad_sum_sq": "nu", "v": "difference", "g": "previous", "x0": "start",
}  # fmt: skip
LARGE = 4096


class Memory:
    """The large arrays of programs that run in turn, each on what the last one left.

    Where an array lies moves a program's time by several per cent; here it moves all alike. They
    go by the names of the fields they are in, since what is no second moment would not do as one.
    """

    def __init__(self) -> None:
        """None yet: the first program brings them."""
        self.arrays: dict[str, jax.Array] = {}

    def for_tree(self, tree: Any) -> tuple[Memory, list[str | None]]:
        """This if it has all the large arrays of `tree`, else one with them; their names in it.

        A name for each leaf, None for a small one.
        """
        names: list[str | None] = []
        for path, x in jax.tree_util.tree_leaves_with_path(tree):
            name = f"{_field(path)} {x.dtype}{x.shape}"
            own = f"{name} {sum(str(n).startswith(name) for n in names)}"
            names.append(own if x.size > LARGE else None)
        found = {n: x for n, x in zip(names, jax.tree.leaves(tree), strict=True) if n is not None}
        chosen = self if not self.arrays or self.arrays.keys() == found.keys() else Memory()
        chosen.arrays = chosen.arrays or found
        return chosen, names


def _field(path: Any) -> str:
    """The innermost field of a state on the way to an array; nothing for a parameter."""
    fields = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    return _SAME.get(fields[-1], fields[-1]) if fields else ""


class Compiled(NamedTuple):
    """A step as a compiled program, and what it begins with."""

    program: Any
    start: Callable[[], tuple[Any, Any, Any]]
    """New arrays: parameters, state and gradients."""
    sizes: dict[str, int]
    """Bytes by XLA's analysis: `accessed` by a step, `temporary` beside its arguments; `state`
    between steps."""

    def placed(self, memory: Memory | None = None) -> Callable[[], None]:
        """A call that runs one step after the other.

        Programs that are given the same `memory` share it where their states are alike.
        """
        params, state, grads = self.start()
        held, tree = jax.tree.flatten((params, state))
        shared, names = (memory or Memory()).for_tree((params, state))

        def run() -> None:
            pairs = zip(names, held, strict=True)
            leaves = [x if name is None else shared.arrays[name] for name, x in pairs]
            out = self.program(*jax.tree.unflatten(tree, leaves), grads)
            jax.block_until_ready(out)
            held[:] = jax.tree.leaves(out)
            shared.arrays = {n: x for n, x in zip(names, held, strict=True) if n is not None}

        return run


def compiled(init: Init, step: Step, shapes: Shapes, dtype: Any = jnp.float32) -> Compiled:
    """The step for parameters of these shapes, with donated buffers."""

    def start() -> tuple[Any, Any, Any]:
        keys = jax.random.split(jax.random.key(0), len(shapes))
        params = {
            f"w{i}": jax.random.normal(k, shape, dtype)
            for i, (k, shape) in enumerate(zip(keys, shapes, strict=True))
        }
        grads = jax.tree.map(lambda p: (0.1 * p).astype(dtype), params)
        # A copy: what a state shares with the parameters could not be donated twice.
        return params, jax.tree.map(jnp.copy, init(params)), grads

    params, state, grads = start()
    program = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, grads).compile()
    cost, needed = program.cost_analysis(), program.memory_analysis()
    sizes = {
        "accessed": int(cost["bytes accessed"]) if cost else 0,
        "temporary": needed.temp_size_in_bytes if needed else 0,
        "state": sum(x.nbytes for x in jax.tree.leaves(state)),
    }
    return Compiled(program, start, sizes)


class TorchStep(NamedTuple):
    """PyTorch's fused Adam on parameters of these shapes."""

    shapes: Shapes
    learning_rate: float = 1e-3

    def placed(self, memory: Memory | None = None) -> Callable[[], Any]:
        """A call that runs one step after the other, in arrays of its own."""
        del memory
        import torch

        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(shape)) for shape in self.shapes]
        for p in params:
            p.grad = 0.1 * p.detach()
        return torch.optim.Adam(params, lr=self.learning_rate, fused=True).step


def beside(
    ours: Compiled, other: Compiled | TorchStep, placements: int, rounds: int
) -> tuple[list[float], float]:
    """A step beside another: for each placement of the arrays the median ratio of their times.

    The arrays are shared where the two states are alike.

    Returns:
        The ratios, ours / other, and the median of our milliseconds.
    """
    ratios, spent = [], []
    for _ in range(placements):
        memory = Memory()
        pair = {"ours": ours.placed(memory), "other": other.placed(memory)}
        in_turn(pair, 3)
        times = in_turn(pair, rounds)
        ratios.append(paired_ratio(times["ours"], times["other"]))
        spent += times["ours"]
    return ratios, 1e3 * statistics.median(spent)
