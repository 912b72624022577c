"""Stages in a basis that turns: what is linear does not notice, what is not turns with it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from adamlab import optimizers as opt
from adamlab import stages as st
from adamlab.stages.storage import unpack

SHAPES = {"w": (9, 3), "b": (4,)}
OFTEN = {"every": 2, "max_dim": 8}


def _trees(count, seed=0, kind=float):
    draw = np.random.default_rng(seed)

    def leaf(shape):
        x = draw.normal(size=(count, *shape))
        return jnp.asarray(x if kind is float else x + 1j * draw.normal(size=x.shape))

    return {name: leaf(shape) for name, shape in SHAPES.items()}


def _updates(tx, grads, params):
    """The updates of all steps, the parameters following them."""

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        params = jax.tree.map(lambda p, u: p + u, params, updates)
        return (params, state), updates

    with jax.numpy_dtype_promotion("standard"):  # for Optax's transformations
        return jax.jit(lambda p, g: jax.lax.scan(step, (p, tx.init(p)), g))(params, grads)[1]


def _near(ours, theirs, tolerance=1e-12):
    size = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(theirs))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * size), ours, theirs
    )


LINEAR = {
    "track_moments": lambda: [st.track_moments(0.9, None), st.take_mu()],
    "initial_mu": lambda: [st.track_moments(0.9, None, initial_mu=0.5), st.take_mu()],
    "nesterov": lambda: [st.track_moments(0.9, None), st.nesterov(0.9), st.take_mu()],
    "mix_slow_average": lambda: [
        st.track_moments(0.9, None), st.mix_slow_average(0.99, 2.0), st.take_mu()],
    "add_difference": lambda: [
        st.track_moments(0.9, None), st.correct_bias(), st.add_difference(0.9), st.take_mu()],
    "positive_negative_momentum": lambda: [
        st.track_moments(None, 0.9), st.positive_negative_momentum(0.9), st.take_mu()],
    "track_window": lambda: [st.track_window(0.9, 3), st.take_mu()],
    "track_weighted_sums": lambda: [
        st.track_weighted_sums(), st.take_mu(), st.anchor_to_start()],
    "add_gradient_difference": lambda: [st.add_gradient_difference(0.5, None), st.trace(0.9)],
    "ema": lambda: [st.ema(0.9)],
    "extrapolate": lambda: [st.extrapolate()],
    "add_decayed_weights": lambda: [st.trace(0.9), st.add_decayed_weights(0.1)],
    "optax.trace": lambda: [optax.trace(0.9), optax.scale(-0.1)],
    "optax.masked": lambda: [optax.masked(optax.trace(0.9), {"w": True, "b": False})],
    "optax.partition": lambda: [
        optax.partition({0: optax.trace(0.9), 1: optax.ema(0.9)}, {"w": 0, "b": 1})],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, float) for name in LINEAR), ("track_moments", complex)]
)
def test_what_is_linear_is_the_same_in_any_basis(name, kind, x64):
    """So that every average of gradients is turned whenever the basis is."""
    grads, params = _trees(12, kind=kind), jax.tree.map(lambda x: x[0], _trees(1, 1, kind))
    turned = _updates(st.in_basis(*LINEAR[name](), **OFTEN), grads, params)
    jax.tree.map(lambda u: np.testing.assert_array_equal(u[0], 0), turned)
    plain = _updates(st.chain(*LINEAR[name]()), jax.tree.map(lambda g: g[1:], grads), params)
    _near(jax.tree.map(lambda u: u[1:], turned), plain)


def test_a_previous_gradient_is_turned_with_the_gradient(x64):
    def run(tx, start):
        state, found = tx.init(params), []
        for step in range(start, 12):
            g, old = (jax.tree.map(lambda x, s=step: x[s], tree) for tree in (grads, olds))
            update, state = tx.update(g, state, params, previous_grad=old)
            found.append(update)
        return jax.tree.map(lambda *x: jnp.stack(x), *found)

    grads, olds, params = _trees(12), _trees(12, 7), jax.tree.map(lambda x: x[0], _trees(1, 1))
    stages = LINEAR["add_gradient_difference"]()
    turned = run(st.in_basis(*stages, **OFTEN), 0)
    _near(jax.tree.map(lambda u: u[1:], turned), run(st.chain(*stages), 1))


def test_the_tests_above_notice_what_is_not_turned(x64, monkeypatch):
    from adamlab.stages import basis

    monkeypatch.setattr(basis, "TURNING", frozenset())
    monkeypatch.setattr(basis, "STAYING", frozenset({"mu"}))
    with pytest.raises(AssertionError):
        test_what_is_linear_is_the_same_in_any_basis("track_moments", float, x64)


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("storage", [jnp.bfloat16, st.EightBit(16, 0)])
def test_a_small_first_moment_is_turned_in_its_storage(storage, within):
    grads, params = _trees(12), jax.tree.map(lambda x: x[0], _trees(1, 1))
    plain = st.chain(st.track_moments(0.9, None), st.take_mu())
    if within:
        tx = st.in_basis(st.store_state(plain, mu=storage), **OFTEN)
    else:
        tx = st.store_state(st.in_basis(plain, **OFTEN), mu=storage)
    if within and isinstance(storage, st.EightBit):
        with pytest.raises(ValueError, match=r"8 bits cannot be turned; put store_state around it"):
            tx.init(params)
        return
    turned = _updates(tx, grads, params)
    wide = st.chain(*LINEAR["track_moments"]())
    plain = _updates(wide, jax.tree.map(lambda g: g[1:], grads), params)
    _near(jax.tree.map(lambda u: u[1:], turned), plain, 0.05)


def _orthogonal(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


INNER = {
    "adam": opt.scale_by_adam,
    "amsgrad": opt.scale_by_amsgrad,
    "optax.adam": optax.scale_by_adam,
    "adafactor": lambda: st.chain(
        st.track_moments(0.9, st.factored(0.99, min_dim_size=2)), st.precondition(1e-8)
    ),
    "adabelief": lambda: st.chain(
        st.track_moments(0.9, st.deviations(0.99)), st.correct_bias(), st.precondition()
    ),
    "lion": lambda: st.chain(
        st.track_moments(0.99, None), st.mix_gradient(0.9), st.sign()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INNER)
def test_turned_gradients_give_turned_updates(name, x64):
    """What is in its own basis knows nothing of the one it is written in; Adam alone does."""
    draw = np.random.default_rng(5)
    # Of full rank in the first step already: what spans a null space is anyone's choice.
    grads = jnp.asarray(draw.normal(size=(10, 4, 4)))
    left, right = _orthogonal(4, 6), _orthogonal(4, 7)
    for tx, keeps in [(st.in_basis(INNER[name](), every=2), True), (INNER[name](), False)]:
        params = jnp.zeros((4, 4))
        expected = left @ _updates(tx, grads, params) @ right
        got = _updates(tx, left @ grads @ right, params)
        if keeps:
            _near(got, expected, 1e-10)
        else:
            assert jnp.abs(got - expected).max() > 0.1 * jnp.abs(expected).max()


def test_the_basis_is_that_of_the_average_products(x64):
    """Power iteration alone finds the eigenvectors where the products stay the same."""
    turns = [_orthogonal(4, 1), _orthogonal(4, 2)]
    first = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4)))
    after = jnp.asarray(turns[0] @ np.diag([8.0, 4.0, 2.0, 1.0]) @ turns[1].T)
    tx = st.in_basis(st.ema(0.5), decay=0.5, every=1)
    state = tx.init(first)
    for g in [first, *[after] * 80]:
        _, state = tx.update(g, state)
    for basis, expected in zip(unpack(state.basis, first), turns, strict=True):
        np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-12)
        np.testing.assert_allclose(
            np.sort(np.abs(basis.T @ expected), axis=0)[-1], 1, rtol=1e-8)  # fmt: skip
    np.testing.assert_allclose(
        unpack(state.factors, first)[0], after @ after.T, rtol=1e-6, atol=1e-6)  # fmt: skip


def test_what_is_not_turned_is_plain_adam_one_step_later():
    grads, params = _trees(6), jax.tree.map(lambda x: x[0], _trees(1, 1))
    turned = _updates(st.in_basis(opt.scale_by_adam(), max_dim=1), grads, params)
    plain = _updates(opt.scale_by_adam(), jax.tree.map(lambda g: g[1:], grads), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1:], b, rtol=1e-6), turned, plain)


def test_a_side_has_a_matrix_if_it_is_not_too_long():
    params = {
        "w": jnp.ones((9, 2, 3)),
        "b": jnp.ones(4),
        "thin": jnp.ones((1, 8)),
        "s": jnp.ones(()),
    }
    state = st.in_basis(opt.scale_by_adam(), max_dim=8).init(params)
    shapes = {name: [None if f is None else f.shape for f in sides]
              for name, sides in unpack(state.factors, params).items()}  # fmt: skip
    assert shapes == {
        "w": [None, (2, 2), (3, 3)], "b": [None], "thin": [None, (8, 8)], "s": [],
    }  # fmt: skip


def test_soap_decays_nothing_in_its_first_step():
    params, grads = jnp.ones((2, 3)), jnp.ones((2, 3))
    for rate in (0.1, lambda n: 0.1):
        tx = opt.soap(rate, weight_decay=0.5)
        updates, state = tx.update(grads, tx.init(params), params)
        np.testing.assert_array_equal(updates, 0)
        updates, _ = tx.update(0 * grads, state, params)
        np.testing.assert_allclose(updates, -0.05, rtol=1e-6)


def test_many_rates_in_one_program():
    params, grads = jnp.ones((3, 4)), jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 4)))

    def run(rate, beta):
        return _updates(opt.soap(rate, shampoo_beta=beta, precondition_frequency=2), grads, params)

    rates, betas = jnp.asarray([1e-3, 1e-2]), jnp.asarray([0.9, 0.5])
    lanes = jax.jit(jax.vmap(run))(rates, betas)
    for lane, rate, beta in zip(lanes, rates, betas, strict=True):
        np.testing.assert_allclose(lane, run(rate, beta), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_narrow_gradients_are_turned_in_float32(dtype):
    params, grads = jnp.ones((3, 4), dtype), jnp.full((3, 4), 1e-3, dtype)
    tx = opt.soap(1e-2)
    state = tx.init(params)
    for _ in range(3):
        updates, state = tx.update(grads, state, params)
    assert updates.dtype == dtype
    assert unpack(optax.tree.get(state, "basis"), params)[0].dtype == jnp.float32
    assert optax.tree.get(state, "mu").dtype == dtype
    assert jnp.isfinite(updates).all()


def test_for_derivatives_the_basis_is_a_constant():
    """Gradients of ones have equal eigenvalues, by which the eigenvectors' derivative divides."""

    def end(scale):
        grads = jnp.ones((3, 2, 2)) * scale
        return _updates(opt.soap(0.1, precondition_frequency=1), grads, jnp.ones((2, 2))).sum()

    assert jnp.isfinite(jax.grad(end)(1.0))


@pytest.mark.parametrize("name", opt.names())
def test_every_named_optimizers_state_is_of_a_known_kind(name):
    tx = opt.example(name)
    if "hessian_diag" in st.extra_args_of(tx):
        with pytest.raises(ValueError, match="needs hessian_diag, which cannot be turned"):
            st.in_basis(tx)
        return
    inside = st.in_basis(tx)
    if name == "soap":
        with pytest.raises(ValueError, match="one of its stages is an in_basis itself"):
            inside.init(jnp.ones((2, 3)))
        return
    if name == "adamw_kahan":
        with pytest.raises(ValueError, match=r"CompensatedState\.lost .* unknown"):
            inside.init(jnp.ones((2, 3)))
        return
    params = jnp.ones((2, 3))
    state = inside.init(params)
    jax.eval_shape(inside.update, params, state, params)


def test_a_state_of_unknown_kind_is_refused():
    tx = st.in_basis(optax.scale_by_adan())
    with pytest.raises(
        ValueError, match=r"in_basis: ScaleByAdanState\.\w is like the parameters, b"
    ):
        tx.init(jnp.ones((2, 3)))
    inside = st.in_basis(opt.adam(0.1), st.compensate_rounding())
    with pytest.raises(ValueError, match=r"CompensatedState\.lost .* unknown; call it average, "):
        inside.init(jnp.ones((2, 3)))


BAD = [
    (lambda: st.in_basis(opt.scale_by_adam(), decay=1.0), ValueError, "decay=1: must be a number"),
    (lambda: st.in_basis(opt.scale_by_adam(), every=0), ValueError, "every=0: must be a whole"),
    (lambda: st.in_basis(opt.scale_by_adam(), max_dim=0), ValueError, "max_dim=0: must be a whole"),
    (lambda: st.in_basis(), ValueError, "got no stages"),
    (lambda: st.in_basis(st.track_moments()), ValueError, "the chain ends in moments"),
    (lambda: st.in_basis(
        st.track_moments(0.9, None), st.track_curvature(), st.precondition(),
    ), ValueError, "track_curvature needs hessian_diag, which cannot be turned"),
    (lambda: opt.soap(-1.0), ValueError, "learning_rate=-1: must be a finite number >= 0"),
    (lambda: opt.soap(1e-3, 1.0), ValueError, "b1=1: must be a number in"),
    (lambda: opt.soap(1e-3, eps=-1.0), ValueError, "eps=-1: must be a finite number >= 0"),
    (lambda: opt.soap(1e-3, shampoo_beta=2.0), ValueError, "shampoo_beta=2: must be a number in"),
    (lambda: opt.soap(1e-3, precondition_frequency=0.5), TypeError, "precondition_frequency=0.5:"),
    (lambda: opt.soap(1e-3, max_precond_dim=0), ValueError, "max_precond_dim=0: must be a whole"),
    (lambda: opt.soap(1e-3, weight_decay=-1.0), ValueError, "weight_decay=-1: must be a finite"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "error", "message"), BAD, ids=[m for _, _, m in BAD])
def test_wrong_arguments_are_named(build, error, message):
    with pytest.raises(error, match=message):
        build()
