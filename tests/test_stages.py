"""Stages: the laws where no optimizer has them, what may be chained, formulas and derivatives."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subjects import SUBJECTS

import adamlab as al
from adamlab import optimizers, stages
from adamlab.stages import (
    DirectionToDirection,
    Moments,
    MomentsToMoments,
    OneMinus,
    Stage,
    adaptive_grad_clip,
    add_preconditioned_decay,
    add_stable_decay,
    amsgrad_max,
    apply_rate,
    block_squares,
    center_nu,
    chain,
    change_mu,
    clip_by_global_norm,
    correct_bias,
    cross_correct,
    cube_root,
    ema,
    epsilon_hat,
    factored,
    gradient_eps,
    largest,
    limit_rate,
    mix_slow_average,
    nesterov,
    normalize_rate,
    parts_of,
    per_axis,
    precondition,
    previous,
    rectify_rate,
    root,
    root_or_eps,
    root_power,
    round_stochastically,
    scale_rate,
    schedule_free,
    take_mu,
    to_rate,
    track_curvature,
    track_moments,
    track_mu,
    unrooted,
)
from adamlab.stages.numerics import cast_within, expm1, lerp
from adamlab.testing import kept_laws

pytestmark = pytest.mark.rounding

KEY = jax.random.key(0)


# What no optimizer has that `test_laws` holds to the laws, and which laws it is not meant to keep.
LAWFUL = {
    "average_parameters": (al.chain(al.sgd(0.1), stages.average_parameters()), set()),
    "clip": (al.clip(0.1), set()),
    "clip_by_global_norm": (al.clip_by_global_norm(0.1), set()),
    "adaptive_grad_clip": (al.adaptive_grad_clip(0.1), {"elementwise"}),
    "add_noise": (al.add_noise(1e-2, 0.5, KEY), {"elementwise", "rest", "zero_size_leaves"}),
    "centralize": (al.centralize(), {"elementwise", "any_magnitude"}),
    "center_nu": (al.rmsprop(1e-3, centered=True), set()),
    "a mask": (
        al.chain(al.add_decayed_weights(1e-2, lambda p: jax.tree.map(lambda x: x.ndim > 1, p))),
        {"rest"}),
    "schedules": (
        al.chain(
            al.track_moments(b2=optax.constant_schedule(0.99)), correct_bias(), precondition(),
            al.scale_by_learning_rate(optax.linear_schedule(1e-2, 0.0, 10)),
            al.add_independent_decay(optax.linear_schedule(1e-2, 0.0, 10))),
        {"rest"}),
}  # fmt: skip
LAWS = [
    "state_form", "updates_form", "gradient_dtype", "strict_promotion", "pure", "jit", "scan",
    "vmap", "donated", "elementwise", "rest", "any_magnitude", "count_saturates", "empty_tree",
    "scalar_leaves", "zero_size_leaves", "none_leaves",
]  # fmt: skip


@pytest.mark.parametrize("name", LAWFUL)
def test_what_no_optimizer_has_keeps_the_laws(name):
    tx, broken = LAWFUL[name]
    verdicts = kept_laws(tx, LAWS)
    assert {law for law, found in verdicts.items() if found.status == "broken"} == broken, verdicts


@pytest.mark.parametrize("name", sorted({*SUBJECTS} - {"adamw_8bit"}))
def test_a_second_moment_is_float32_or_wider(name):
    state = jax.eval_shape(SUBJECTS[name].tx.init, jnp.ones((2, 3), jnp.bfloat16))
    for nu in jax.tree.leaves([found for _, found in optax.tree.get_all_with_path(state, "nu")]):
        assert nu.dtype == jnp.float32


def _params(dtype=jnp.float32):
    return {
        "matrix": jnp.linspace(-1, 1, 12, dtype=dtype).reshape(4, 3),
        "layers": (jnp.linspace(0.5, 2, 4, dtype=dtype), jnp.array([0.3], dtype)),
    }


def _grads(t, like=None):
    like = _params() if like is None else like
    # NumPy draws them: a program of jax.random takes longer to compile than a stage.
    draw = np.random.default_rng(t)
    return jax.tree.map(lambda x: jnp.asarray(draw.normal(size=x.shape), x.dtype), like)


def _run(tx, params, steps=3, update=None):
    update = tx.update if update is None else update
    state, out = tx.init(params), []
    for t in range(steps):
        updates, state = update(_grads(t, params), state, params)
        out.append(updates)
    return out, state


def test_a_zero_gradient_leaves_meta_gradients_finite():
    def after_two_steps(rate):
        tx, params = al.adam(rate), jnp.array([1.0, 2.0])
        state = tx.init(params)
        for _ in range(2):
            grads = params * jnp.array([0.0, 1.0])
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params.sum()

    assert np.isfinite(jax.grad(after_two_steps)(0.1))


def test_a_zero_gradient_leaves_the_derivatives_of_a_factored_moment_finite():
    def after_two_steps(scale):
        tx, params = al.optimizers.adafactor(1e-2), jnp.ones((128, 128))
        state = tx.init(params)
        for size in (scale, 1.0):
            grads = jnp.full_like(params, 1.0) * size
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params.sum()

    assert np.isfinite(jax.grad(after_two_steps)(0.0))


def test_the_second_moment_of_bfloat16_parameters_is_not_frozen():
    params = jnp.zeros(3, jnp.bfloat16)
    tx = al.scale_by_adam(b2=0.999)
    state = tx.init(params)
    _, state = tx.update(jnp.ones_like(params), state)
    after_one = optax.tree.get(state, "nu")
    for _ in range(50):
        _, state = tx.update(jnp.zeros_like(params), state)
    assert (optax.tree.get(state, "nu") < 0.97 * after_one).all()


def test_states_are_read_by_name():
    _, state = _run(al.amsgrad(1e-3), _params())
    assert int(optax.tree.get(state, "count")) == 3
    for field in ("mu", "nu", "nu_max"):
        chex.assert_trees_all_equal_shapes(optax.tree.get(state, field), _params())


def test_complex_parameters_step_like_optaxs():
    params = jnp.array([1.0 + 2.0j, -0.5j], jnp.complex64)
    grads = jnp.array([0.3 - 0.1j, 2.0 + 0.0j], jnp.complex64)
    ours, theirs = al.scale_by_amsgrad(), optax.scale_by_amsgrad()
    updates, state = ours.update(grads, ours.init(params))
    with jax.numpy_dtype_promotion("standard"):
        expected, _ = theirs.update(grads, theirs.init(params))
    assert optax.tree.get(state, "nu").dtype == jnp.float32
    chex.assert_trees_all_close(updates, expected, rtol=2e-5)


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_complex_gradient_differences_are_clipped_by_their_norm(max_norm):
    grads = jnp.array([3.0 + 4.0j, 0.0], jnp.complex64)
    tx = al.stages.add_gradient_difference(0.5, max_norm)
    updates, _ = tx.update(grads, tx.init(grads))
    expected = 1.5 * grads if max_norm is None else grads / 5
    chex.assert_trees_all_close(updates, expected, rtol=1e-6)


def test_masked_and_partitioned():
    params = {"w": jnp.ones(3), "b": jnp.ones(2)}
    grads = jax.tree.map(jnp.ones_like, params)
    masked = optax.masked(al.adam(0.1), {"w": True, "b": False})
    updates, _ = masked.update(grads, masked.init(params), params)
    chex.assert_trees_all_close(updates, {"w": jnp.full(3, -0.1), "b": jnp.ones(2)}, rtol=1e-5)

    parts = optax.partition({"fast": al.sgd(1.0), "slow": al.adam(0.1)}, {"w": "slow", "b": "fast"})
    updates, _ = parts.update(grads, parts.init(params), params)
    chex.assert_trees_all_close(updates, {"w": jnp.full(3, -0.1), "b": -jnp.ones(2)}, rtol=1e-5)


def test_in_an_nnx_optimizer():
    from flax import nnx

    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, al.amsgrad(0.05), wrt=nnx.Param)
    x = jax.random.normal(KEY, (32, 3))
    y = x.sum(axis=1, keepdims=True)

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: ((m(x) - y) ** 2).mean())(model)
        optimizer.update(model, grads)
        return loss

    losses = [float(step(model, optimizer)) for _ in range(150)]
    assert losses[-1] < 1e-2 * losses[0]


@pytest.mark.parametrize("eps", [0.0, 1e-45, 2e-38, 1e-8])
def test_nothing_divided_by_an_eps_that_may_round_to_zero_is_nothing(eps):
    tx = al.adam(1e-3, eps=eps)
    zeros = jnp.zeros(3)
    for step in (tx.update, jax.jit(tx.update)):
        np.testing.assert_array_equal(step(zeros, tx.init(zeros))[0], zeros)


@given(
    # Each shape is compiled anew.
    shape=st.sampled_from([(), (1,), (4,), (0, 3), (4, 3), (2, 1, 3)]),
    scale=st.sampled_from([1e-30, 1e-12, 1.0, 1e12, 1e18]),
    seed=st.integers(0, 2**31 - 1),
)
def test_adams_first_step_has_the_learning_rates_length(shape, scale, seed):
    """|update| <= learning_rate at t = 1, and equal to it where |g| is far above eps."""
    g = jnp.asarray(np.random.default_rng(seed).normal(size=shape) * scale, jnp.float32)
    tx = al.adam(0.1)
    updates, _ = tx.update(g, tx.init(g))
    chex.assert_tree_all_finite(updates)
    assert (jnp.abs(updates) <= 0.1 * (1 + 1e-6)).all()
    large = np.abs(np.asarray(g)) > 1e-3
    np.testing.assert_allclose(
        np.asarray(updates)[large], -0.1 * np.sign(np.asarray(g)[large]), rtol=1e-4
    )


@given(seed=st.integers(0, 2**31 - 1), factor=st.sampled_from([-4.0, 0.25, 1024.0]))
def test_without_eps_adam_ignores_the_gradients_scale_and_follows_its_sign(seed, factor):
    tx = al.adam(0.1, eps=0.0)
    grads = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 4)), jnp.float32)

    def last(scale):
        state = tx.init(grads[0])
        for g in grads:
            updates, state = tx.update(scale * g, state)
        return updates

    np.testing.assert_allclose(last(factor), np.sign(factor) * last(1.0), rtol=1e-5)


# What may be chained, and what would be wrong in silence -----------------------------------------


def _first(*stages, gradient=(1.0, -2.0, 3.0)):
    gradient = jnp.asarray(gradient)
    tx = chain(*stages)
    return tx.update(gradient, tx.init(gradient), gradient)[0]


def test_a_bias_is_corrected_once():
    once = _first(track_moments(), correct_bias(), precondition())
    twice = _first(track_moments(), correct_bias(), correct_bias(), precondition())
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            (correct_bias, lambda: nesterov(0.9), precondition),
            "nesterov needs an uncorrected first moment",
        ),
        ((correct_bias, cross_correct, precondition), "cross_correct needs an uncorrected first"),
        (
            (correct_bias, to_rate, lambda: scale_rate(1.0), apply_rate),
            "scale_rate needs an uncorrected first moment",
        ),
        ((to_rate, correct_bias, apply_rate), "correct_bias changes nu after rates were made"),
        ((to_rate, amsgrad_max, apply_rate), "amsgrad_max changes nu after rates were made of it"),
        ((to_rate, center_nu, apply_rate), "center_nu changes nu after rates were made of it"),
        (
            (to_rate, lambda: rectify_rate(0.9), precondition),
            "precondition would ignore the rates",
        ),
    ],
)
def test_what_would_be_corrected_twice_or_left_out_is_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        _first(track_moments(0.9, 0.9), *(stage() for stage in stages))


MASS = 1 - 0.9**2
DENOMINATORS = {
    "root": (root(1e-3, 1e-2), lambda g, nu: np.sqrt(nu + 1e-2) + 1e-3),
    "epsilon_hat": (epsilon_hat(1e-3), lambda g, nu: np.sqrt(nu) + 1e-3 / np.sqrt(MASS)),
    "gradient_eps": (
        gradient_eps(1.0, 0.1), lambda g, nu: np.sqrt(nu) + 0.1 * np.sqrt(np.mean(g**2)),
    ),
    "gradient_eps(small)": (gradient_eps(1e-3, 0.1), lambda g, nu: np.sqrt(nu) + 1e-3),
    "root_or_eps": (root_or_eps(0.5), lambda g, nu: np.maximum(np.sqrt(nu), 0.5)),
    "unrooted": (unrooted(0.1, floor=0.3, gamma=2.0), lambda g, nu: np.maximum(2 * nu, 0.3) + 0.1),
    "cube_root": (cube_root(1e-2), lambda g, nu: np.cbrt(nu) + 1e-2),
    "root_power": (root_power(0.125, 1e-2), lambda g, nu: (np.sqrt(nu) + 1e-2) ** 0.25),
    "root_power(scheduled)": (
        root_power(lambda n: jnp.where(n == 1, 0.125, 0.5), 1e-2),
        lambda g, nu: (np.sqrt(nu) + 1e-2) ** 0.25,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DENOMINATORS)
def test_a_denominator_is_its_formula_whether_divided_by_or_made_a_rate(name):
    denominator, formula = DENOMINATORS[name]
    grads = [np.array([0.1, -2.0, 0.5]), np.array([1.0, 0.3, -0.2])]
    nu = (0.9 * 0.1 * grads[0] ** 2 + 0.1 * grads[1] ** 2) / (1 - 0.9**2)
    expected = grads[1] / formula(grads[1], nu)
    for ways in ((precondition(denominator),), (to_rate(denominator), apply_rate())):
        tx = chain(track_moments(None, 0.9), correct_bias(), *ways)
        state = tx.init(jnp.ones(3))
        for g in grads:
            update, state = tx.update(jnp.asarray(g, jnp.float32), state)
        np.testing.assert_allclose(update, expected, rtol=1e-6)
        label = "" if name == "root" else f"({denominator.name})"
        assert parts_of(tx)[2] in {f"precondition{label}", f"to_rate{label}"}


def test_an_eps_root_beside_another_denominator_is_refused():
    for stage in (precondition, to_rate):
        with pytest.raises(ValueError, match=r"eps_root=0.1: must be left out with cube_root"):
            stage(cube_root(), 0.1)


@pytest.mark.parametrize("stage", [amsgrad_max, limit_rate])
def test_what_a_stage_lacks_is_said_at_init(stage):
    tx = chain(track_moments(b2=None), stage(), take_mu())
    with pytest.raises(ValueError, match=f"{stage.__name__} needs"):
        tx.init(jnp.ones(3))


def test_what_has_no_bias_is_not_corrected_when_it_looks_back():
    now, before = largest(0.999), previous(largest(0.999), first=1.0)
    for rule in (now, before):
        tx = chain(track_moments(None, rule), correct_bias(), precondition(unrooted()))
        state = tx.init(jnp.ones(1))
        for _ in range(2):
            update, state = tx.update(jnp.ones(1), state)
        np.testing.assert_allclose(update, 1, rtol=1e-6)


def test_a_stage_of_no_kind_and_needs_that_nobody_knows_are_refused():
    def update(updates, state, **_):
        return updates, state

    with pytest.raises(TypeError, match="mine: a Stage does not say what it takes and gives"):
        Stage.from_update("mine", lambda _: (), update)
    with pytest.raises(ValueError, match="mine: needs='nuu': must be among mu, nu"):
        MomentsToMoments.from_update("mine", lambda _: (), update, needs=("nuu",))
    with pytest.raises(ValueError, match="mine: needs='mu': must be among params"):
        DirectionToDirection.from_update("mine", lambda _: (), update, needs=("mu",))


def test_a_schedule_within_a_complement_is_refused():
    with pytest.raises(TypeError, match=r"b2=OneMinus.*give a schedule that returns OneMinus"):
        track_moments(0.9, OneMinus(lambda _: 0.1))


@pytest.mark.parametrize("rule", [factored(0.9), per_axis(0.9)])
def test_curvature_of_every_other_step_needs_a_nu_of_its_own(rule):
    with pytest.raises(ValueError, match="every=2: must be 1 where"):
        track_curvature(rule, every=2)
    tx = chain(track_moments(0.9, None), track_curvature(rule), precondition())
    params = jnp.ones((2, 3))
    update, _ = tx.update(params, tx.init(params), hessian_diag=params)
    assert jnp.isfinite(update).all()


# Derivatives and magnitudes ----------------------------------------------------------------------


def _end(tx, steps):
    start = jnp.array([1.0, 2.0])

    def step(carry, _):
        x, state = carry
        update, state = tx.update(x * x, state, x)
        return (x + update, state), None

    (x, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
    return x.sum()


@pytest.mark.parametrize("form", [lambda b: b, lambda b: OneMinus(1 - b)])
def test_the_derivative_by_b1_goes_through_zero(form):
    slope = jax.jit(jax.grad(lambda b1: _end(al.adam(1e-2, b1=form(b1)), 4)))
    np.testing.assert_allclose(slope(0.0), slope(1e-6), rtol=1e-3)


def test_the_derivative_of_rectified_rates_stays_finite_when_the_average_is_old():
    slope = jax.jit(jax.grad(lambda w: _end(optimizers.radam(1e-2, b2=OneMinus(w)), 300)))
    assert jnp.isfinite(slope(0.1))


@pytest.mark.parametrize(
    ("dtype", "size", "expected"),
    [("float16", 300.0, 0.1), ("float32", 1e25, 0.1), ("float32", 1e-30, 1e-30)],
)
def test_units_are_clipped_at_any_magnitude(dtype, size, expected):
    weights = jnp.ones(3, dtype)
    clip_units = adaptive_grad_clip(0.1)
    clipped, _ = clip_units.update(jnp.full(3, size, dtype), clip_units.init(weights), weights)
    np.testing.assert_allclose(clipped.astype("float32"), expected, rtol=1e-3)


def test_units_are_clipped_as_optax_does():
    shapes = {"vector": (4,), "matrix": (4, 3), "heads": (4, 3, 2), "kernel": (2, 2, 4, 3)}
    keys = jax.random.split(jax.random.key(0), len(shapes))
    grads = {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=True)}
    params = jax.tree.map(lambda g: 10 * jnp.cos(7 * g), grads)
    ours, theirs = adaptive_grad_clip(0.1), optax.adaptive_grad_clip(0.1)
    found, expected = (tx.update(grads, tx.init(params), params)[0] for tx in (ours, theirs))
    chex.assert_trees_all_close(found, expected, rtol=1e-5)


def test_units_at_zero_have_a_finite_slope():
    tx = adaptive_grad_clip(0.1)
    ones = jnp.ones(3)
    slope = jax.grad(lambda g: tx.update(g, tx.init(ones), ones)[0].sum())(jnp.zeros(3))
    assert jnp.isfinite(slope).all()


def test_a_complex_infinity_passes():
    tx, params = al.adam(0.1), jnp.ones(2, jnp.complex64)
    state = tx.init(params)
    for gradient in ([jnp.inf + 0j, 1 + 1j], [1 + 0j, 1 + 1j]):
        update, state = tx.update(jnp.asarray(gradient, jnp.complex64), state, params)
        assert jnp.isfinite(update).all()
    largest_both = jnp.array([3e38 + 3e38j, 1], jnp.complex64)
    update, _ = tx.update(largest_both, tx.init(params), params)
    np.testing.assert_allclose(update[0], -0.1 - 0.1j, rtol=1e-5)


def test_complex_directions_are_clipped_by_their_magnitude():
    stage, update = al.clip(1.0), jnp.array([0.1 + 10j], jnp.complex64)
    clipped, _ = stage.update(update, stage.init(update))
    assert abs(clipped[0]) == pytest.approx(1, rel=1e-5)


def test_infinite_complex_gradients_become_their_limit():
    tx = clip_by_global_norm(1.0)
    clipped, _ = tx.update(jnp.array([jnp.inf + 1j, 2j], jnp.complex64), tx.init(None))
    np.testing.assert_allclose(clipped, [1, 0])


def test_a_matrix_is_factored_from_its_least_size_on():
    for least, is_factored in ((4, True), (5, False)):
        state = factored(0.9, min_dim_size=least).init(jnp.ones((4, 4)))
        assert isinstance(state, tuple) == is_factored


def test_axes_of_blocks_may_count_from_the_end():
    by_last = block_squares(0.9, axes=lambda shape: (-1,))
    tx = chain(track_moments(None, by_last), precondition())
    assert tx.init(jnp.ones((2, 3)))[0].nu.shape == (2, 1)


# Formulas at the places where a trajectory seldom goes ------------------------------------------


def _moments(grad, **fields):
    return Moments(grad, jnp.int32(1))._replace(**fields)


def _step(stage, given, params=None, state=None, **extra):
    state = stage.init(given if params is None else params) if state is None else state
    return stage.update(given, state, params, **extra)


def test_schedule_free_weighs_by_the_largest_rate_so_far():
    rates, b1 = np.array([1.0, 0.25, 0.5, 0.125]), 0.9
    stage = schedule_free(lambda n: jnp.asarray(rates, jnp.float32)[n], b1, weight_lr_power=2.0)
    x = y = z = 1.0
    total = 0.0
    params = jnp.asarray(y)
    state = stage.init(params)
    for t, rate in enumerate(rates):
        weight = rates[: t + 1].max() ** 2
        total += weight
        z -= rate
        x += weight / total * (z - x)
        y = b1 * x + (1 - b1) * z
        update, state = stage.update(jnp.asarray(-rate, jnp.float32), state, params)
        params = params + update
        np.testing.assert_allclose(params, y, rtol=1e-5)


def test_schedule_free_begins_a_plain_mean_after_a_rate_of_zero():
    stage = schedule_free(lambda n: jnp.where(n < 1, 0.0, 1.0), 0.5, weight_lr_power=0.0)
    params = jnp.zeros([])
    _, state = stage.update(params, stage.init(params), params)
    assert float(state.weight_sum) == 1


def test_small_gradients_of_adai_are_averaged_longer():
    """The inertia is that of the gradients' variance over its mean: at most 1 - eps."""
    tx, grads = optimizers.adai(1.0, b0=0.1, eps=1e-3), jnp.array([1e-4, 2e-4])
    state = tx.init(grads)
    for _ in range(2):
        _, state = tx.update(grads, state, grads)
    (mu,) = [part.mu for part in state if getattr(part, "mu", None) is not None]
    np.testing.assert_allclose(mu, grads * (1 - 0.999**2), rtol=1e-3)


def test_a_second_moment_is_fed_with_any_extra_argument():
    tx = chain(track_moments(0.9, None), track_curvature(0.9, of="per_example"), precondition(0.0))
    grads, square = jnp.ones(2), jnp.array([1.0, 2.0])
    update, _ = tx.update(grads, tx.init(grads), per_example=square)
    np.testing.assert_allclose(update, 0.1 / (0.1**0.5 * square), rtol=1e-6)
    with pytest.raises(ValueError, match="track_curvature needs per_example; pass it to update"):
        tx.update(grads, tx.init(grads))


def test_an_average_that_is_tracked_after_the_correction_keeps_its_bias():
    stages = track_moments(None, 0.9), correct_bias(), track_mu(0.9)
    tx = chain(*stages, precondition(0.0))
    update, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    np.testing.assert_allclose(update, 0.1, rtol=1e-6)


def test_between_two_readings_curvature_keeps_its_weight():
    stage = track_curvature(0.9, every=2)
    grads, state = jnp.ones(2), stage.init(jnp.ones(2))
    masses = []
    for count in (1, 2, 3, 4):
        given = _moments(grads, count=jnp.int32(count))
        seen, state = stage.update(given, state, None, hessian_diag=jnp.full(2, 5.0))
        masses.append(float(seen.nu_mass))
        np.testing.assert_allclose(seen.nu / seen.nu_mass, 25, rtol=1e-5)
    np.testing.assert_allclose(masses, [0.1, 0.1, 0.19, 0.19], rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "limits", "pull"), [(0.5, (), 0.5), (1.0, (), 1.0), (4.0, (), 1.0), (4.0, (2.0,), 2.0)]
)
def test_a_preconditioned_decay_is_clipped_and_never_lengthened(size, limits, pull):
    tx = al.chain(
        al.track_moments(),
        to_rate(root_power(0.0, eps=1.0)),
        apply_rate(),
        add_preconditioned_decay(0.1, *limits),
    )
    params = jnp.full(3, size)
    updates, _ = tx.update(jnp.zeros(3), tx.init(params), params)
    np.testing.assert_allclose(updates, 0.1 * pull, rtol=1e-6)


@pytest.mark.parametrize("tx", [track_moments(0.5, None), ema(0.5)], ids=["track_moments", "ema"])
def test_a_narrow_average_of_wide_gradients_recovers(tx):
    """65504 is the largest float16."""
    state = tx.init(jnp.zeros(2, jnp.float16))
    for size in (1e6, -1e6, 1.0, 0.0):
        _, state = tx.update(jnp.array([size, 1.0], jnp.float32), state)
        average = optax.tree.get(state, "mu") if "mu" in state._fields else state.ema
        assert average.dtype == jnp.float16
        assert jnp.isfinite(average).all()
    assert jnp.abs(average[0]) <= 65504 / 4


def test_rounding_leaves_no_negative_variance():
    given = _moments(jnp.ones(2), mu=jnp.array([1.001, 0.5]), nu=jnp.array([1.0, 1.0]))
    seen, _ = _step(center_nu(), given)
    np.testing.assert_allclose(seen.nu, [0, 0.75])


def test_rates_are_normalised_over_elements_not_over_blocks():
    grads = {"block": jnp.ones((2, 3)), "each": jnp.ones(2)}
    rates = {"block": jnp.full((1, 1), 2.0), "each": jnp.array([1.0, 3.0])}
    seen, _ = _step(normalize_rate(), _moments(grads, rate=rates))
    mean = np.sqrt((6 * 4 + 1 + 9) / 8)
    np.testing.assert_allclose(seen.rate["each"], np.array([1, 3]) / mean, rtol=1e-6)


@pytest.mark.parametrize("steps", [5_000, 20_000, 10**6])
def test_an_old_average_is_rectified_by_the_published_formula(steps):
    b2 = 0.999
    mass = jnp.float32(-np.expm1(steps * np.log(b2)))
    given = _moments(
        jnp.ones(1),
        nu=jnp.ones(1),
        nu_mass=mass,
        nu_gathered=mass,
        rate=jnp.ones(1),
        count=jnp.int32(steps),
    )
    last = 2 / (1 - b2) - 1
    rho = last - 2 * steps * b2**steps / (1 - b2**steps)
    factor = np.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
    seen, _ = _step(rectify_rate(b2), given)
    np.testing.assert_allclose(seen.rate, factor, rtol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_weight_gathered_is_right_to_two_units_in_the_last_place(dtype):
    with jax.enable_x64(dtype is np.float64):
        x = np.append(-np.geomspace(1e-12, 100, 2001), 0.5).astype(dtype)
        exact = np.expm1(x.astype(np.longdouble))
        slopes = jax.vmap(jax.grad(expm1))(jnp.array([-jnp.inf, -0.5, -1e-3, 0.0], dtype))
        error = abs(np.asarray(jax.jit(expm1)(x)) - exact) / np.spacing(abs(exact).astype(dtype))
        np.testing.assert_allclose(slopes, np.exp([-np.inf, -0.5, -1e-3, 0.0]), rtol=1e-6)
        np.testing.assert_array_equal(expm1(jnp.array([-jnp.inf, 0.0], dtype)), [-1, 0])
    assert error.max() < 2


def test_a_mean_is_taken_from_its_nearer_end():
    far, near = jnp.float32(1e8), jnp.float32(1.0)
    large, small = jnp.float32(31 / 32), jnp.float32(1 / 32)
    np.testing.assert_allclose(lerp(far, near, large), (1e8 + 31) / 32, rtol=0, atol=0.3)
    np.testing.assert_allclose(lerp(near, far, small), (1e8 + 31) / 32, rtol=0, atol=0.3)
    same = jnp.linspace(0.1, 3.0, 99)  # (1 - weight) same + weight same would differ from it
    for weight in (large, small, jnp.float32(1e-3)):
        np.testing.assert_array_equal(lerp(same, same, weight), same)


def test_a_range_is_kept_that_the_wider_dtype_does_not_hold_itself():
    assert cast_within(jnp.bfloat16(1e6), jnp.float16) == jnp.finfo(jnp.float16).max


@pytest.mark.parametrize("update", [jnp.inf, -jnp.inf, jnp.nan])
def test_what_is_not_finite_is_not_rounded(update):
    stage = round_stochastically(jax.random.key(0))
    params = jnp.ones(64, jnp.bfloat16)
    found, _ = stage.update(jnp.full(64, update), stage.init(params), params)
    np.testing.assert_array_equal(found.astype(np.float32), update)
    found, _ = stage.update(jnp.zeros(64), stage.init(params), jnp.full_like(params, update))
    np.testing.assert_array_equal(found.astype(np.float32), update)


def test_a_schedule_is_asked_for_the_steps_already_done():
    only_first = {"alpha": lambda n: jnp.where(n > 0, jnp.nan, 5.0)}
    given = _moments(jnp.ones(2), mu=jnp.ones(2))
    seen, _ = _step(mix_slow_average(0.9, **only_first), given)
    np.testing.assert_allclose(seen.mu, 1 + 5 * 0.1, rtol=1e-6)
    tx = al.chain(
        al.track_moments(),
        correct_bias(),
        precondition(1.0),
        add_stable_decay(0.5, lambda n: jnp.where(n > 0, jnp.nan, 2.0)),
    )
    updates, _ = tx.update(jnp.zeros(2), tx.init(jnp.ones(2)), jnp.ones(2))
    np.testing.assert_allclose(updates, 0.5 / 2, rtol=1e-6)


def test_a_stage_of_ones_own_sees_a_gradient_that_it_can_average():
    own = change_mu("own", lambda m, g: m - g)
    given = _moments(jnp.asarray([1.0, jnp.inf], jnp.bfloat16), mu=jnp.ones(2))
    seen, _ = _step(own, given)
    assert seen.mu.dtype == jnp.float32
    np.testing.assert_array_equal(seen.mu, [0, -(2.0**48)])
    with pytest.raises(ValueError, match="own needs the first moment; give track_moments a b1"):
        _step(chain(track_moments(None), own, precondition()), jnp.ones(2))
    for wrong, found in ((lambda m, g: None, "NoneType"), (lambda m, g: m.sum(), r"shape \(\)")):
        with pytest.raises(TypeError, match=rf"own gave {found} for a mu of shape \(2,\): must be"):
            _step(change_mu("own", wrong), given)


def test_tiny_numbers_agree_in_sign_too():
    """Their product would be zero."""
    stage, params = stages.add_cautious_decay(0.5), jnp.array([1e-25, 1e-25, -1e-25])
    decayed, _ = stage.update(jnp.array([1e-25, -1e-25, 0.0]), stage.init(params), params)
    np.testing.assert_allclose(decayed, [1.5e-25, -1e-25, 0.0], rtol=1e-6)


def test_an_infinite_gradient_that_stays_has_not_changed():
    """Narrow gradients are cut off at their own limit, now and before, in a wider state too."""
    params, grads = jnp.ones(2), jnp.array([jnp.inf, 6e4], jnp.float16)

    def second(*brake):
        tx = chain(track_moments(), *brake, precondition())
        return tx.update(grads, tx.update(grads, tx.init(params), params)[1], params)[0]

    braked, free = (x.astype(np.float32) for x in (second(stages.friction()), second()))
    np.testing.assert_allclose(braked, 0.5 * free, rtol=2e-3)


def test_a_scheduled_stage_is_given_its_extra_arguments():
    stage = stages.DirectionToDirection.from_function(
        "weigh", lambda u, params, value, rate: u * params * value * rate,
        lambda n: 10.0**n, needs=("params",), extra_args=("value",),
    )  # fmt: skip
    ones = jnp.ones(2)
    state = stage.init(ones)
    for rate in (1.0, 10.0):
        out, state = stage.update(ones, state, 2 * ones, value=jnp.float32(3.0))
        np.testing.assert_allclose(out, 6 * rate)


def test_an_eps_on_the_gradient_stays_where_the_gradient_is_zero():
    given = _moments(jnp.zeros(2), mu=jnp.ones(2), nu=jnp.zeros(2))
    np.testing.assert_allclose(stages.gradient_eps(0.5).of(given), 0.5)


def test_a_direction_beyond_a_narrow_dtype_is_its_largest():
    given = _moments(jnp.ones(2, jnp.float16), mu=jnp.array([1e6, -1e6]))
    direction, _ = _step(stages.take_mu(), given)
    np.testing.assert_array_equal(direction, np.array([65504, -65504], np.float16))
    big, stage = jnp.array([65504.0], jnp.float16), stages.add_cautious_decay(1.0)
    np.testing.assert_array_equal(stage.update(big, stage.init(big), big)[0], big)


def test_slopes_by_the_second_moment_are_right():
    """They are -1 / (2 sqrt(nu) (1 + nu)) of atan2(1, sqrt(nu)), 1 / (3 nu^(2/3)) of the root."""

    def angle(nu):
        given = _moments(jnp.ones([]), mu=jnp.ones([]), nu=nu)
        return _step(stages.precondition_atan2(a=1.0), given)[0]

    def root(nu):
        return stages.cube_root(0.0).of(_moments(jnp.ones([]), nu=nu))

    np.testing.assert_allclose(jax.grad(angle)(jnp.float32(4.0)), -1 / 20, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(root)(jnp.float32(8.0)), 1 / 12, rtol=1e-6)


def test_complex_numbers_agree_where_less_than_a_right_angle_lies_between_them():
    u = jnp.array([1 + 2j, 1j, 1j, 2 - 1j], jnp.complex64)
    g = u * jnp.array([1, 1j - 0.1, 1j + 0.1, -1], jnp.complex64)
    stage = stages.cautious_mask()
    kept, _ = stage.update(u, stage.init(u), None, gradient=g)
    np.testing.assert_array_equal(kept != 0, [True, False, True, False])


@pytest.mark.parametrize(("u", "p"), [(1.0, 0.0), (0.0, 1.0)])
def test_a_trust_ratio_without_a_length_is_one(u, p):
    stage = stages.scale_by_trust_ratio()
    out, _ = stage.update(jnp.full(3, u), stage.init(None), jnp.full(3, p))
    np.testing.assert_array_equal(out, u)


def test_a_row_is_clipped_as_optax_does():
    grads = jnp.array([[3.0, 4.0]])
    ours, theirs = stages.adaptive_grad_clip(0.1), optax.adaptive_grad_clip(0.1)
    found, expected = (t.update(grads, t.init(grads), jnp.ones((1, 2)))[0] for t in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
