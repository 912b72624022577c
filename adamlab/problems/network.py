"""Networks as a pair of pure functions: how to draw the parameters, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_choice, check_count, check_flags
from adamlab.problems._source import floating

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu, "identity": lambda x: x,
}  # fmt: skip
_INITIALIZERS = {
    "lecun_normal": jax.nn.initializers.lecun_normal(),
    "he_normal": jax.nn.initializers.he_normal(),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
    "torch": jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}


class Model(NamedTuple):
    """A model: `init(key)` -> parameters, `apply(params, inputs)` -> outputs (rows, outputs)."""

    init: Callable[[jax.Array], Any]
    apply: Callable[[Any, jax.Array], jax.Array]


def network(
    widths: Sequence[int],
    *,
    activation: str = "relu",
    batch_norm: bool = False,
    input_norm: bool = False,
    residual: bool = False,
    initializer: str = "lecun_normal",
) -> Model:
    """A fully connected network of Flax layers with `widths` units, inputs and outputs included.

    `network((64, 10))` is a linear model. Batch norm goes before each activation (Ioffe & Szegedy
    2015) and, with `input_norm`, on the inputs; it always takes the statistics of the rows it
    is given, so there is no running state. `residual` adds a hidden layer's input to its output
    where their widths are equal (He et al. 2016).

    Args:
        widths: number of units, two or more, each >= 1.
        activation: "relu", "tanh", "gelu" or "identity".
        batch_norm: whether hidden layers are normalised.
        input_norm: whether the inputs are normalised.
        residual: whether hidden layers of equal width get a skip connection.
        initializer: of the kernels: "lecun_normal" (Flax), "glorot_uniform" (Keras), "torch"
            (uniform within 1/sqrt(inputs), biases too) or "he_normal"; other biases are 0.

    Raises:
        TypeError: a width is not an integer, or a flag is not True or False.
        ValueError: a width is below 1, there are fewer than two, or a name is unknown.
    """
    if len(widths) < 2:
        raise ValueError(
            f"widths={tuple(widths)!r}: must hold at least the numbers of inputs and outputs"
        )
    for width in widths:
        check_count("widths", width)
    check_choice("activation", activation, _ACTIVATIONS)
    check_choice("initializer", initializer, _INITIALIZERS)
    check_flags(batch_norm=batch_norm, input_norm=input_norm, residual=residual)
    options = (tuple(widths), activation, batch_norm, input_norm, residual, initializer)
    return Model(partial(_init, options), partial(_apply, options))


def with_gain(params: Any, gain: Any) -> Any:
    """`params` with their matrices, not their biases or norms, times `gain`."""
    return jax.tree.map(lambda p: p * jnp.asarray(gain, p.dtype) if p.ndim > 1 else p, params)


def matrices(params: Any) -> list[jax.Array]:
    """The leaves of `params` that are not biases or norms: those of two dimensions or more."""
    return [p for p in jax.tree.leaves(params) if p.ndim > 1]


def weight_norm(params: Any) -> jax.Array:
    """The root of the sum of squares of all matrices of `params`."""
    norm: jax.Array = optax.tree.norm(matrices(params))
    return norm


def _init(options: tuple[Any, ...], key: jax.Array) -> Any:
    return _functions(*options)[0](key)


def _apply(options: tuple[Any, ...], params: Any, inputs: jax.Array) -> jax.Array:
    outputs: jax.Array = _functions(*options)[1](params, inputs)
    return outputs


@lru_cache(maxsize=32)
def _functions(
    widths: tuple[int, ...],
    activation: str,
    batch_norm: bool,
    input_norm: bool,
    residual: bool,
    initializer: str,
) -> tuple[Any, Any]:
    """Init and apply; Flax is imported, and the structure traced, when first needed."""
    from flax import nnx

    act, kernel_init = _ACTIVATIONS[activation], _INITIALIZERS[initializer]

    class Network(nnx.Module):
        """Linear layers with activations and norms between them."""

        def __init__(self, rngs: nnx.Rngs) -> None:
            dtype = jnp.result_type(float)
            pairs = list(pairwise(widths))
            self.linears = nnx.List(
                nnx.Linear(
                    i, o, param_dtype=dtype, rngs=rngs, kernel_init=kernel_init,
                    bias_init=_torch_bias(i) if initializer == "torch" else nnx.initializers.zeros,
                )
                for i, o in pairs
            )  # fmt: skip
            normed = [*([widths[0]] if input_norm else []), *(widths[1:-1] if batch_norm else [])]
            self.norms = nnx.List(
                nnx.BatchNorm(w, use_running_average=False, param_dtype=dtype, rngs=rngs)
                for w in normed
            )

        def __call__(self, inputs: jax.Array) -> jax.Array:
            norms: Iterator[Any] = iter(list(self.norms))
            x = floating(inputs)
            x = next(norms)(x) if input_norm else x
            for linear in list(self.linears)[:-1]:
                hidden: jax.Array = linear(x)
                hidden = act(next(norms)(hidden) if batch_norm else hidden)
                x = hidden + x if residual and hidden.shape == x.shape else hidden
            return self.linears[-1](x)

    def init(key: jax.Array) -> Any:
        return nnx.to_pure_dict(nnx.split(Network(nnx.Rngs(key)), nnx.Param, ...)[1])

    structure, *states = nnx.split(nnx.eval_shape(lambda: Network(nnx.Rngs(0))), nnx.Param, ...)

    def apply(params: Any, inputs: jax.Array) -> jax.Array:
        # The running statistics are neither read nor kept: only their places must be filled.
        empty = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), states[1])
        return nnx.merge(structure, params, empty)(inputs)

    return init, apply


def _torch_bias(inputs: int) -> Any:
    def init(key: jax.Array, shape: Any, dtype: Any, **_: Any) -> jax.Array:
        bound = inputs**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
