"""One optimizer step, compiled with donated buffers and ready to be timed; PyTorch's beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

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


class Memory:
    """The large arrays of programs that run in turn, each on what the last one left.

    Where an array lies moves a program's time by several per cent; here it moves all alike.
    """

    def __init__(self) -> None:
        """None yet: the first program brings them."""
        self.arrays: list[jax.Array] = []
        self.names: list[str] = []

    def for_tree(self, tree: Any) -> Memory:
        """This, if the large arrays of `tree` are called as these and look so; else one with them.

        By their names, for what is no second moment would not do as one.
        """
        named = [
            (f"{_field(path)} {x.dtype}{x.shape}", x)
            for path, x in jax.tree_util.tree_leaves_with_path(tree)
            if x.size > 1
        ]
        names = [name for name, _ in named]
        chosen = self if not self.arrays or names == self.names else Memory()
        if not chosen.arrays:
            chosen.names, chosen.arrays = names, [x for _, x in named]
        return chosen

    def put_into(self, leaves: Sequence[jax.Array]) -> list[jax.Array]:
        """The leaves, the large ones replaced by these."""
        arrays = iter(self.arrays)
        return [next(arrays) if x.size > 1 else x for x in leaves]


def _field(path: Any) -> str:
    """The innermost field of a state on the way to an array; nothing for a parameter."""
    fields = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    return fields[-1] if fields else ""


def compiled(
    init: Init, step: Step, shapes: Shapes, memory: Memory | None = None
) -> tuple[Callable[[], Any], dict[str, int]]:
    """A call that runs one step after the other, and bytes by XLA's analysis.

    `accessed` by a step, `temporary` beside its arguments, `state` between steps. Programs that are
    given the same `memory` share it where their states have the same shapes.
    """
    keys = jax.random.split(jax.random.key(0), len(shapes))
    params = {
        f"w{i}": jax.random.normal(k, shape)
        for i, (k, shape) in enumerate(zip(keys, shapes, strict=True))
    }
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    # A copy: what a state shares with the parameters could not be donated twice.
    state = jax.tree.map(jnp.copy, init(params))
    program = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, grads).compile()
    cost, needed = program.cost_analysis(), program.memory_analysis()
    sizes = {
        "accessed": int(cost["bytes accessed"]) if cost else 0,
        "temporary": needed.temp_size_in_bytes if needed else 0,
        "state": sum(x.nbytes for x in jax.tree.leaves(state)),
    }
    held, tree = jax.tree.flatten((params, state))
    shared = (memory or Memory()).for_tree((params, state))

    def run() -> None:
        out = program(*jax.tree.unflatten(tree, shared.put_into(held)), grads)
        jax.block_until_ready(out)
        held[:] = jax.tree.leaves(out)
        shared.arrays = [x for x in held if x.size > 1]

    return run, sizes


def torch_step(shapes: Shapes, learning_rate: float = 1e-3) -> Callable[[], Any]:
    """PyTorch's fused Adam on parameters of these shapes."""
    import torch

    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for p in params:
        p.grad = 0.1 * p.detach()
    return torch.optim.Adam(params, lr=learning_rate, fused=True).step
