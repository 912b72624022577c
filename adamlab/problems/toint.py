"""toint: a smooth function of one variable on which Adam with a constant rate never slows down."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from adamlab.problems._problem import Problem, Range


def toint() -> Problem:
    """`-sin(2 * pi * x / stride)`, from 0: as far as Adam sees, an endless slope.

    Toint 2023 (arXiv 2308.00720) states that Adam with a constant rate, from 0 and without noise,
    diverges on a certain function of one variable with a Lipschitz gradient, whatever b1 and b2.
    The function here is our own with that property: the slope is `-2 * pi / stride` at every
    multiple of `stride`. The averages of equal gradients, corrected for their bias, are that
    gradient and its square, whatever b1 and b2, so at a learning rate of `stride` (or a multiple)
    with a negligible eps Adam steps from one multiple to the next for ever. x goes to infinity,
    the gradient stays at its greatest, the objective at 0, half way between -1 and 1; the gradient
    has the Lipschitz constant `(2 * pi / stride)**2`. At a rate well below `stride` Adam descends
    to -1.

    The default stride, 1/128, is a power of two: with it x is exact in float32 up to 1e5 steps.
    Metrics: `x`; `slope`, the derivative there as a share of its greatest, in [-1, 1].
    """
    return Problem(
        name="toint",
        init=_init,
        loss=_loss,
        metrics=_metrics,
        optimum=-1.0,
        hyperparameters={"stride": 1 / 128},
        ranges={"stride": Range(0, open_low=True)},
        description="a sine whose steepest points Adam visits one after the other",
    )


def _init(key: jax.Array, *, stride: jax.Array) -> jax.Array:
    del key, stride
    return jnp.zeros([])


def _phase(x: jax.Array, stride: jax.Array) -> jax.Array:
    turns = x / stride
    # Whole turns change nothing and would cost the sine its digits.
    return 2 * jnp.pi * (turns - jnp.round(turns))


def _loss(x: jax.Array, batch: None, *, stride: jax.Array) -> jax.Array:
    del batch
    return -jnp.sin(_phase(x, stride))


def _metrics(x: jax.Array, *, stride: jax.Array) -> dict[str, jax.Array]:
    return {"x": x, "slope": -jnp.cos(_phase(x, stride))}
