"""Every option of a named optimizer reaches the stage that it is for."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adamlab as al
from adamlab import optimizers as opt
from adamlab import stages as st
from adamlab.compat import torch

pytestmark = pytest.mark.rounding

PARAMS = {"w": jnp.linspace(-1, 1.2, 12).reshape(4, 3), "b": jnp.linspace(0.5, 2, 4)}
NEEDED = {
    "learning_rate": 1e-2, "peak": 1e-2, "key": jax.random.key(0),
    "normalized": {"w": True, "b": False},
}  # fmt: skip
MASKED = [n for n in opt.names() if "mask" in inspect.signature(getattr(opt, n)).parameters]


def _build(name, **given):
    build = getattr(opt, name)
    parameters = inspect.signature(build).parameters
    needed = {n: v for n, v in NEEDED.items() if n in parameters}
    if name == "adashift":
        needed["keep_num"] = 1
    return build(**needed | given)


def _updates(tx, steps=3, params=PARAMS):
    """The update of each step, with gradients drawn anew."""
    tx, state, found = optax.with_extra_args_support(tx), tx.init(params), []
    for step in range(steps):
        draw = np.random.default_rng(step)
        grads = jax.tree.map(lambda p, d=draw: jnp.asarray(d.normal(size=p.shape), p.dtype), params)
        curved = "hessian_diag" in st.extra_args_of(tx)
        extra = {"hessian_diag": jax.tree.map(jnp.abs, grads)} if curved else {}
        with jax.numpy_dtype_promotion("standard"):  # Optax's own need it
            update, state = tx.update(grads, state, params, **extra)
        found.append(update)
    return found


def _last(tx, gradients, params):
    """The last update for equal elements of each gradient in turn."""
    state = tx.init(params)
    for g in gradients:
        update, state = tx.update(jnp.full_like(params, g), state, params)
    return update


def _alike(one, other, rtol=1e-6):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9), one, other)


@pytest.mark.parametrize("name", MASKED)
def test_a_mask_chooses_what_decays(name):
    masked = _updates(_build(name, weight_decay=0.1, mask={"w": True, "b": False}))[-1]
    without, whole = (_updates(_build(name, weight_decay=decay))[-1] for decay in (0.0, 0.1))
    _alike(masked["b"], without["b"])
    _alike(masked["w"], whole["w"])
    assert not np.allclose(masked["w"], without["w"], rtol=1e-5)


def test_msvags_decay_rate_is_its_rates_too():
    by_hand = st.chain(
        st.track_moments(0.5, 0.5), st.correct_bias(), st.to_variance_rate(0.5), st.apply_rate(),
        st.scale_by_learning_rate(1e-2),
    )  # fmt: skip
    _alike(_updates(opt.msvag(1e-2, 0.5)), _updates(by_hand))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"decay_rate": 0.5}, {"decay_rate": 0.5}),
        ({"b1": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "weight_decay_rate": 0.1}),
    ],
)
def test_adafactors_options_are_optaxs(ours, theirs):
    found = _updates(opt.adafactor(1e-2, min_dim_size=2, **ours), 5)
    expected = _updates(optax.adafactor(1e-2, min_dim_size_to_factor=2, **theirs), 5)
    _alike(found, expected, rtol=1e-4)


def test_adafactors_decay_is_behind_its_momentum():
    update = _last(opt.adafactor(1e-2, b1=0.9, weight_decay=0.1), [0.0], jnp.ones(3))
    np.testing.assert_allclose(update, -0.1, rtol=1e-6)


def test_an_8_bit_block_is_as_long_as_asked():
    state = opt.adamw_8bit(1e-3, block=64).init(jnp.zeros(4096))
    assert [x.shape for x in jax.tree.leaves(state) if x.ndim == 2] == [(64, 1)] * 2


def test_adopt_without_clipping_takes_the_whole_step():
    update = _last(opt.adopt(1.0, b1=0.0, clip=False), [1.0, 100.0], jnp.ones(1))
    np.testing.assert_allclose(update, -100.0, rtol=1e-5)


def test_prodigys_sum_forgets_by_b3():
    tx, params = st.scale_by_prodigy(b3=0.0), jnp.ones(2)
    state = tx.init(params)
    for g in (1.0, 0.0):
        _, state = tx.update(jnp.full(2, g), state, params)
    np.testing.assert_array_equal(state.grad_sum, 0)


def test_soaps_preconditioner_decays_by_b2_unless_told():
    own = _updates(opt.soap(1e-2, b2=0.5, precondition_frequency=2), 6)
    told = _updates(opt.soap(1e-2, b2=0.5, shampoo_beta=0.5, precondition_frequency=2), 6)
    other = _updates(opt.soap(1e-2, b2=0.5, shampoo_beta=0.95, precondition_frequency=2), 6)
    jax.tree.map(np.testing.assert_array_equal, own, told)
    assert not np.allclose(own[-1]["w"], other[-1]["w"], rtol=1e-3)


def test_adans_decay_is_proximal_under_a_schedule_too():
    constant, scheduled = (
        _updates(opt.adan(rate, weight_decay=50.0), 2) for rate in (0.1, lambda n: 0.1)
    )
    _alike(constant, scheduled, rtol=1e-5)


def test_a_per_axis_moment_decays_by_b2():
    tx = st.chain(st.track_moments(None, st.per_axis(0.9)), st.precondition(0.0))
    np.testing.assert_allclose(_last(tx, [3.0], jnp.ones(2)), 0.1**-0.5, rtol=1e-6)


def test_torchs_decays_are_its_own():
    nadam = torch.nadam(0.1, weight_decay=0.5, decoupled_weight_decay=True)
    np.testing.assert_allclose(_last(nadam, [0.0], jnp.ones(2)), -0.05, rtol=1e-6)
    # Adafactor decays by the whole rate, not by the cap of it that falls as 1 / sqrt(t).
    adafactor = torch.adafactor(1.0, weight_decay=0.1)
    np.testing.assert_allclose(_last(adafactor, [0.0] * 5, jnp.ones(2)), -0.1, rtol=1e-6)


def test_an_infinite_float16_gradient_does_not_come_back_a_step_later():
    tx, params = opt.mars(1e-2), jnp.ones(3)
    state = tx.init(params)
    for step in range(8):
        first = jnp.inf if step == 3 else 1.0
        _, state = tx.update(jnp.asarray([first, -1, 0.5], jnp.float16), state, params)
    assert optax.tree.get(state, "nu").max() <= 1


def test_equal_leaves_are_not_rounded_alike():
    stage = st.round_stochastically(jax.random.key(0))
    params = {name: jnp.ones(64, jnp.bfloat16) for name in "ab"}
    small = jax.tree.map(lambda p: jnp.full(p.shape, 2.0**-9), params)
    updates, _ = stage.update(small, stage.init(params), params)
    assert (updates["a"] != updates["b"]).any()


def test_plain_descent_has_its_momentum():
    update = _last(al.sgd(1.0, 0.5), [1.0, 1.0, 1.0], jnp.ones(1))
    np.testing.assert_allclose(update, -1.75, rtol=1e-6)


def test_an_option_reaches_every_stage_that_it_is_for():
    """Where it did not, the stage would take its own default."""
    params = jnp.ones(2)

    def at_rest(tx):
        return tx.update(jnp.zeros(2), tx.init(params), params)[0]

    adams = opt.adams(1.0, eps=0.5, weight_decay=0.1)
    np.testing.assert_allclose(at_rest(adams), -0.1 / 0.5, rtol=1e-6)
    fadam = opt.fadam(1.0, eps=0.1, clip=0.5, weight_decay=0.1)
    np.testing.assert_allclose(at_rest(fadam), -0.1 * 0.5, rtol=1e-6)
    state = opt.came(1e-3, min_dim_size=4).init(jnp.ones((3, 3)))
    assert optax.tree.get(state, "residual").shape == ()
    # With an eps far above the gradient, it is not large for its second moment.
    stable = opt.stable_adamw(1.0, eps=1.0, b1=0.0, b2=0.9, weight_decay=0.0)
    nu = (0.9 * 0.1 * 1e-6 + 0.1 * 1e-2) / (1 - 0.9**2)
    np.testing.assert_allclose(_last(stable, [1e-3, 1e-1], params), -0.1 / (nu**0.5 + 1), rtol=1e-5)
