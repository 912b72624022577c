"""Every optimizer against its oracle, against Optax, and float32 against float64."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracles
import pytest

import adamlab as al
from adamlab import optimizers, stages

pytestmark = pytest.mark.rounding

LR, B1, B2, EPS, DECAY = oracles.LR, oracles.B1, oracles.B2, oracles.EPS, oracles.DECAY
STEPS = 200


def _compose(*middle, after=()):
    return al.chain(al.track_moments(B1, B2), *middle, al.scale_by_learning_rate(LR), *after)


ORACLES = {
    "sgd": (al.sgd(LR), oracles.sgd),
    "sgd-momentum": (al.sgd(LR, momentum=0.9), oracles.sgd_momentum),
    "sgd-nesterov": (al.sgd(LR, momentum=0.9, nesterov=True), oracles.sgd_nesterov),
    "rmsprop": (al.rmsprop(LR), oracles.rmsprop),
    "rmsprop-outside": (al.rmsprop(LR, eps_in_sqrt=False), oracles.rmsprop_outside),
    "rmsprop-corrected": (al.rmsprop(LR, bias_correction=True), oracles.rmsprop_corrected),
    "rmsprop-centered": (
        al.rmsprop(LR, centered=True, initial_scale=1.0), oracles.rmsprop_centered),
    "rmsprop-momentum": (al.rmsprop(LR, momentum=0.9), oracles.rmsprop_momentum),
    "adam": (al.adam(LR, B1, B2), oracles.adam),
    "adam-complement": (al.adam(LR, al.OneMinus(0.1), al.OneMinus(0.01)), oracles.adam),
    "adam-eps-root": (al.adam(LR, B1, B2, eps_root=1e-2), oracles.adam_eps_root),
    "adam-epsilon-hat": (
        _compose(al.correct_bias(), al.precondition(al.epsilon_hat(1e-3))),
        oracles.adam_epsilon_hat),
    "adam-scheduled": (
        al.adam(LR, B1, lambda n: 1 - 1 / (n.astype(float) + 2)), oracles.adam_scheduled),
    "adam-scheduled-complement": (
        al.adam(LR, B1, lambda n: al.OneMinus(1 / (n.astype(float) + 2))), oracles.adam_scheduled),
    "adam-uncorrected": (_compose(al.precondition(EPS)), oracles.adam_without_correction),
    "adamw": (al.adamw(LR, B1, B2, weight_decay=DECAY), oracles.adamw),
    "adam-independent-decay": (
        _compose(al.correct_bias(), al.precondition(EPS), after=[al.add_independent_decay(DECAY)]),
        oracles.adam_independent),
    "adam-l2": (al.adam_l2(LR, B1, B2, weight_decay=DECAY), oracles.adam_l2),
    "amsgrad": (al.amsgrad(LR, B1, B2), oracles.amsgrad),
    "amsgrad-torch": (al.amsgrad_torch(LR, B1, B2), oracles.amsgrad_torch),
}  # fmt: skip

OPTAX = {
    "sgd": (al.sgd(1e-3), optax.sgd(1e-3)),
    "sgd-momentum": (al.sgd(1e-3, 0.9), optax.sgd(1e-3, 0.9)),
    "sgd-nesterov": (al.sgd(1e-3, 0.9, True), optax.sgd(1e-3, 0.9, True)),
    "rmsprop": (al.rmsprop(1e-3), optax.rmsprop(1e-3)),
    "rmsprop-options": (
        al.rmsprop(1e-3, 0.95, 1e-6, 0.5, False, False, 0.9, True),
        optax.rmsprop(1e-3, 0.95, 1e-6, 0.5, False, False, 0.9, True)),
    "rmsprop-corrected": (
        al.rmsprop(1e-3, bias_correction=True), optax.rmsprop(1e-3, bias_correction=True)),
    "rmsprop-centered": (
        al.rmsprop(1e-3, initial_scale=1.0, centered=True),
        optax.rmsprop(1e-3, initial_scale=1.0, centered=True)),
    "adam": (al.adam(1e-3), optax.adam(1e-3)),
    "adamw": (al.adamw(1e-3), optax.adamw(1e-3)),
    "amsgrad": (al.amsgrad(1e-3), optax.amsgrad(1e-3)),
    "scale_by_adam": (al.scale_by_adam(), optax.scale_by_adam()),
    "scale_by_amsgrad": (al.scale_by_amsgrad(), optax.scale_by_amsgrad()),
}  # fmt: skip


def _gradients(steps: int, size: int = 24) -> np.ndarray:
    """Gradients whose elements differ in scale from 1e-4 to 1e3, and change sign."""
    draw = np.random.default_rng(7)
    return draw.normal(size=(steps, size)) * np.geomspace(1e-4, 1e3, size)


def _trajectory(tx, theta, grads):
    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return np.asarray(jax.jit(lambda c: jax.lax.scan(step, c, grads)[1])((theta, tx.init(theta))))


def _distance(ours: np.ndarray, theirs: np.ndarray, start: np.ndarray) -> float:
    """Largest difference relative to the largest displacement."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs - start).max())


@pytest.fixture(scope="module")
def float64_trajectories():
    with jax.enable_x64(True):
        start, grads = np.linspace(-2, 2, 24), _gradients(STEPS)
        ours = {
            name: _trajectory(tx, jnp.asarray(start), jnp.asarray(grads))
            for name, (tx, _) in ORACLES.items()
        }
        theirs = {
            name: np.stack(list(oracle(start, grads))) for name, (_, oracle) in ORACLES.items()
        }
    return start, ours, theirs


@pytest.mark.parametrize("name", ORACLES)
def test_float64_agrees_with_the_oracle(float64_trajectories, name):
    start, ours, theirs = float64_trajectories
    assert _distance(ours[name], theirs[name], start) <= 1e-12


def test_no_optimizer_passes_for_another(float64_trajectories):
    """The test of the test above: a wrong formula would be seen, by a factor of 1000 at least."""
    start, ours, theirs = float64_trajectories
    for name, (_, oracle) in ORACLES.items():
        for other, (_, other_oracle) in ORACLES.items():
            if oracle is not other_oracle:
                assert _distance(ours[name], theirs[other], start) > 1e-9, (name, other)


@pytest.mark.parametrize("name", OPTAX)
def test_float32_agrees_with_optax(name):
    """The sum of all updates so far, relative to the path's length, for every element and step.

    A single update is up to 1.001e-5 apart, at t = 2: Optax's own rounding of 1 - b2**t.
    """
    grads, params = jnp.asarray(_gradients(STEPS), jnp.float32), jnp.linspace(-2, 2, 24)

    def updates_of(tx):
        def step(state, g):
            updates, state = tx.update(g, state, params)
            return state, updates

        updates = jax.jit(lambda state: jax.lax.scan(step, state, grads)[1])(tx.init(params))
        return np.asarray(updates, np.float64)

    ours = updates_of(OPTAX[name][0])
    with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an int32's power
        theirs = updates_of(OPTAX[name][1])
    apart = np.abs(np.cumsum(ours - theirs, axis=0)) / np.cumsum(np.abs(theirs), axis=0)
    assert apart.max() <= 1e-5


@pytest.mark.parametrize("b2", [0.999, 0.9999, 0.99999])
def test_float32_stays_with_float64(b2):
    """Relative to the update's norm, at every one of 10,000 steps; Optax is 7e-4 off."""

    def updates(dtype):
        with jax.enable_x64(dtype == "float64"):
            tx, params = al.adam(1.0, b2=b2), jnp.zeros(256, dtype)

            def step(state, t):
                key = jax.random.fold_in(jax.random.key(1), t)
                g = jax.random.normal(key, (256,), jnp.float32).astype(dtype)
                updates, state = tx.update(g, state, params)
                return state, updates

            steps = jnp.arange(10_000, dtype=jnp.int32)
            run = jax.jit(lambda state: jax.lax.scan(step, state, steps)[1])
            return np.asarray(run(tx.init(params)), np.float64)

    narrow, wide = updates("float32"), updates("float64")
    off = np.linalg.norm(narrow - wide, axis=1) / np.linalg.norm(wide, axis=1)
    assert off.max() <= 1e-6


FALLING = {
    "b2 = 0": (lambda: al.adam(1.0, b1=0.0, b2=0.0, eps=0.0), [1.0, -1e-5], [-1.0, 1.0]),
    "decay = 0": (lambda: al.rmsprop(1.0, decay=0.0, eps=0.0), [1.0, -1e-5], [-1.0, 1.0]),
    "b2 = 0.01": (
        lambda: al.adam(1.0, b1=0.0, b2=0.01, eps=0.0), [1.0, 1e-3],
        [-1.0, -1e-3 / ((0.01 * 0.99 + 0.99 * 1e-6) / (1 - 0.01**2)) ** 0.5]),
    "overflow": (
        lambda: al.adam(1.0), [1.0, 1e30, 1.0, 1.0],  # as if it had been 2^48
        [-1.0, *(-0.1 * 0.9**n / (1 - 0.9 ** (n + 2)) * ((1 - 0.999 ** (n + 2)) / 1e-3
                / 0.999**n) ** 0.5 for n in range(3))]),
}  # fmt: skip


@pytest.mark.parametrize("name", FALLING)
def test_gradients_that_fall_or_overflow_in_float32(name):
    """A small gradient after a large one keeps its digits; an overflow counts as 2^48."""
    build, grads, expected = FALLING[name]
    tx = build()
    state, got = tx.init(jnp.zeros([])), []
    for g in grads:
        updates, state = tx.update(jnp.float32(g), state)
        got.append(float(updates))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_nan_is_not_hidden():
    tx = al.chain(al.track_moments(), al.precondition())
    updates, state = tx.update(jnp.float32(jnp.nan), tx.init(jnp.zeros([])))
    assert jnp.isnan(updates)
    updates, _ = tx.update(jnp.float32(1.0), state)
    assert jnp.isnan(updates)


# Those of most, and where they are others: as the papers, their authors' code or Optax have them.
COMMON = {
    "b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "weight_decay": 0.0, "mask": None,
    "momentum": None, "nesterov": False, "correct": False, "initial": 0.0,
}  # fmt: skip
DEFAULTS = {
    "acprop": {"eps": 1e-16, "eps_root": 1e-16}, "adabelief": {"eps": 1e-16, "eps_root": 1e-16},
    "adabound": {"final_rate": 0.1, "gamma": 1e-3},
    "adafactor": {"min_dim_size": 128, "decay_rate": 0.8, "eps": 1e-30, "clip": 1.0,
        "min_scale": 1e-3, "b1": None},
    "adagrad": {"initial_accumulator_value": 0.1, "eps": 1e-7}, "adahessian": {"every": 1},
    "adai": {"b0": 0.1, "b2": 0.99, "eps": 1e-3}, "adam_atan2": {"a": 1.27, "b": 1.0},
    "adam_epsilon_hat": {"eps": 1e-7}, "adam_l2": {"weight_decay": 1e-4},
    "adam_mini": {"axes": None}, "adamc": {"weight_decay": 0.01}, "adamod": {"b3": 0.999},
    "adamp": {"delta": 0.1, "wd_ratio": 0.1}, "adams": {"weight_decay": 1e-4},
    "adamw": {"weight_decay": 1e-4},
    "adamw_8bit": {"weight_decay": 0.01, "block": 256, "min_size": 4096},
    "adamw_cautious_decay": {"weight_decay": 0.01},
    "adamw_independent": {"weight_decay": 1e-5, "peak": None},
    "adamw_kahan": {"weight_decay": 0.01}, "adamw_stochastic_rounding": {"weight_decay": 0.01},
    "adan": {"b1": 0.98, "b2": 0.92, "b3": 0.99}, "adanorm": {"b2": 0.99, "r": 0.95},
    "adapnm": {"b3": 1.0}, "adashift": {"keep_num": 10, "reduce": "max"},
    "ademamix": {"b3": 0.9999, "alpha": 5.0}, "adopt": {"b2": 0.9999, "eps": 1e-6, "clip": True},
    "amsbound": {"final_rate": 0.1, "gamma": 1e-3}, "ano": {"b1": 0.92, "b2": 0.99},
    "avagrad": {"eps": 0.1},
    "came": {"b3": 0.9999, "eps": 1e-30, "eps_confidence": 1e-16, "clip": 1.0, "min_dim_size": 1},
    "cautious_adamw": {"weight_decay": 0.01},
    "dadapt_adam": {"learning_rate": 1.0, "initial_distance": 1e-6}, "example": {"rate": 1e-3},
    "fadam": {"eps_gradient": 0.01, "clip": 1.0, "weight_decay": 0.1},
    "lamb": {"eps": 1e-6},
    "laprop": {"eps": 1e-15}, "lion": {"b2": 0.99, "weight_decay": 1e-3},
    "lookahead_adam": {"sync_period": 6, "slow_step_size": 0.5},
    "madgrad": {"momentum": 0.9, "eps": 1e-6}, "mars": {"b1": 0.95, "b2": 0.99, "gamma": 0.025},
    "msvag": {"b": 0.9}, "nadam_scheduled": {"momentum_decay": 0.004},
    "novograd": {"b2": 0.25, "eps": 1e-6}, "optimistic_adam": {"alpha": 1.0, "beta": 1.0},
    "padam": {"partial": 0.25},
    "prodigy": {"learning_rate": 1.0, "initial_distance": 1e-6, "coefficient": 1.0},
    "qhadam": {"b1": 0.995, "v1": 0.7, "v2": 1.0}, "radam": {"threshold": 5.0},
    "ranger": {"b1": 0.95, "eps": 1e-6, "sync_period": 6, "slow_step_size": 0.5},
    "rmsprop": {"decay": 0.9, "initial_scale": 0.0, "eps_in_sqrt": True, "centered": False,
        "bias_correction": False},
    "schedule_free_adamw": {"weight_lr_power": 2.0},
    "simplified_ademamix": {"b1": 0.99, "b2": 0.95, "alpha": 0.0}, "sm3": {"momentum": 0.9},
    "soap": {"b1": 0.95, "b2": 0.95, "shampoo_beta": None, "precondition_frequency": 10,
        "max_precond_dim": 10000},
    "sophia": {"b1": 0.965, "b2": 0.99, "eps": 1e-12, "gamma": 0.01, "clip": 1.0, "every": 10,
        "weight_decay": 1e-4},
    "stable_adamw": {"b2": 0.99, "eps": 1e-6, "weight_decay": 0.01},
    "yogi": {"eps": 1e-3, "initial_accumulator_value": 1e-6},
    "stages.adaptive_grad_clip": {"eps": 1e-3}, "stages.add_difference": {"b2": 0.92, "gain": None},
    "stages.add_gradient_difference": {"max_norm": 1.0},
    "stages.add_preconditioned_decay": {"max_rms": 1.0},
    "stages.average_parameters": {"decay": 0.999},
    "stages.block_squares": {"axes": stages.per_row, "reduce": jnp.mean},
    "stages.bound_rate": {"final_rate": 0.1, "gamma": 1e-3},
    "stages.cautious_mask": {"floor": 1e-3}, "stages.change_mu": {"marks": ("mixes",)},
    "stages.clip_by_block_rms": {"max_rms": 1.0}, "stages.cube_root": {"eps": 1e-6},
    "stages.deviations": {"eps": 1e-16, "from_previous": False},
    "stages.epsilon_hat": {"eps": 1e-7}, "stages.extrapolate": {"alpha": 1.0, "beta": 1.0},
    "stages.factored": {"eps": 1e-30, "min_dim_size": 128, "axes": stages.two_longest},
    "stages.gradient_eps": {"eps_gradient": 0.01},
    "stages.group_small_leaves": {"max_size": 4096, "group": 16, "elementwise": False},
    "stages.in_basis": {"decay": 0.95, "every": 10, "max_dim": 10000},
    "stages.largest": {"eps": 0.0}, "stages.lengthen_short_gradients": {"decay": 0.95},
    "stages.limit_rate": {"b3": 0.999},
    "stages.lookahead": {"sync_period": 6, "slow_step_size": 0.5},
    "stages.mix_slow_average": {"b3": 0.9999, "alpha": 5.0}, "stages.per_axis": {"b2": None},
    "stages.positive_negative_momentum": {"b3": 1.0},
    "stages.precondition_atan2": {"a": 1.27, "b": 1.0}, "stages.previous": {"first": None},
    "stages.project_radially": {"delta": 0.1, "wd_ratio": 0.1},
    "stages.rectify_rate": {"threshold": 5.0}, "stages.root_or_eps": {"eps": 1e-6},
    "stages.root_power": {"power": 0.25},
    "stages.scale_by_confidence": {"b3": 0.9999, "eps": 1e-16, "min_dim_size": 1,
        "axes": stages.last_two},
    "stages.scale_by_dadapt": {"learning_rate": 1.0, "initial_distance": 1e-6},
    "stages.scale_by_learning_rate": {"flip_sign": True},
    "stages.scale_by_param_block_rms": {"min_scale": 1e-3},
    "stages.scale_by_prodigy": {"learning_rate": 1.0, "b3": None, "initial_distance": 1e-6,
        "coefficient": 1.0},
    "stages.schedule_free": {"weight_lr_power": 2.0}, "stages.to_variance_rate": {"b": 0.9},
    "stages.track_curvature": {"of": "hessian_diag", "every": 1},
    "stages.track_moments": {"initial_mu": 0.0},
    "stages.track_mu_by_variance": {"b0": 0.1, "eps": 1e-3},
    "stages.track_weighted_sums": {"weight": 1.0}, "stages.track_window": {"length": 10},
    "stages.unrooted": {"eps": 0.0, "floor": None, "gamma": 1.0},
    "stages.yogi": {"initial": 1e-6, "decayed": False},
}  # fmt: skip
BUILDERS = {
    f"{prefix}{name}": getattr(room, name)
    for prefix, room in (("", optimizers), ("stages.", stages))
    for name in room.__all__
    if inspect.isfunction(getattr(room, name))
}


@pytest.mark.parametrize("name", BUILDERS)
def test_the_defaults_are_those_of_the_source(name):
    """The trajectories are of arguments that are given, so that none would tell."""
    parameters = inspect.signature(BUILDERS[name]).parameters.items()
    found = {n: p.default for n, p in parameters if p.default is not p.empty}
    own = DEFAULTS.get(name, {})
    assert found == {n: COMMON[n] for n in found if n in COMMON} | own


def test_every_default_that_is_listed_is_of_something_that_there_is():
    assert set(DEFAULTS) <= set(BUILDERS)


def test_argument_names_are_optaxs():
    for name in ("sgd", "rmsprop", "adam", "adamw", "amsgrad", "scale_by_adam", "scale_by_amsgrad"):
        ours = inspect.signature(getattr(al, name)).parameters
        theirs = inspect.signature(getattr(optax, name)).parameters
        shared = [n for n in theirs if n in ours]
        assert [n for n, p in ours.items() if p.kind is not p.KEYWORD_ONLY] == shared
        for n in shared:
            assert ours[n].default == theirs[n].default, (name, n)


BAD = [
    (lambda: al.adam(-1e-3), "learning_rate=-0.001: must be a finite number >= 0"),
    (lambda: al.adam(float("nan")), "learning_rate=nan: must be a finite number >= 0"),
    (lambda: al.adam(float("inf")), "learning_rate=inf"),
    (lambda: al.adam("0.1"), "learning_rate='0.1'"),
    (lambda: al.adam(True), "learning_rate=True"),
    (lambda: al.adam(np.array([0.1, 0.2])), "learning_rate has shape"),
    (lambda: al.adam(jnp.array([0.1, 0.2])), "adamlab.sweep"),
    (lambda: al.adam(1e-3, b1=1.0), "b1=1: must be a number in [0, 1)"),
    (lambda: al.adam(1e-3, b2=-0.1), "b2=-0.1: must be a number in [0, 1)"),
    (lambda: al.adam(1e-3, b2=al.OneMinus(0.0)), "1-b2=0: must be a number in (0, 1]"),
    (lambda: al.adam(1e-3, b2=al.OneMinus(1.5)), "1-b2=1.5"),
    (lambda: al.adam(1e-3, eps=-1.0), "eps=-1"),
    (lambda: al.adam(1e-3, eps_root=np.float32(-1.0)), "eps_root=-1"),
    (lambda: al.adamw(1e-3, weight_decay=-1.0), "weight_decay=-1"),
    (lambda: al.adam_l2(1e-3, weight_decay=float("inf")), "weight_decay=inf"),
    (lambda: al.sgd(1e-3, momentum=1.0), "momentum=1: must be a number in [0, 1)"),
    (lambda: al.rmsprop(1e-3, initial_scale=-1.0), "initial_scale=-1"),
    (lambda: al.track_moments(None, None), "b1=None, b2=None"),
    (lambda: al.clip(0.0), "max_delta=0: must be a finite number > 0"),
    (lambda: al.clip_by_global_norm(-1), "max_norm=-1"),
    (lambda: al.clip_by_global_norm(lambda n: 1.0), "not a schedule"),
    (lambda: al.adaptive_grad_clip(0.1, eps=0.0), "eps=0"),
    (lambda: al.add_noise(-1.0, 0.5, jax.random.key(0)), "eta=-1"),
    (lambda: al.add_noise(1.0, -0.5, jax.random.key(0)), "gamma=-0.5"),
    (lambda: al.add_independent_decay(-0.5), "weight_decay=-0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "message"), BAD, ids=[m for _, m in BAD])
def test_bad_hyperparameters_are_named(build, message):
    with pytest.raises((ValueError, TypeError)) as caught:
        build()
    assert message in str(caught.value)


@pytest.mark.parametrize("group", [1, 3, 100])
def test_grouping_small_leaves_changes_nothing_but_the_state(group):
    draw = np.random.default_rng(2)
    shapes = [(3, 4), (), (5,), (40, 40), (2, 2, 2), (0,), (7,)]
    params = {f"w{i}": jnp.asarray(draw.normal(size=s), jnp.float32) for i, s in enumerate(shapes)}
    params["half"] = jnp.ones(6, jnp.bfloat16)
    params["none"] = None
    plain = al.adamw(1e-2)
    grouped = stages.group_small_leaves(plain, max_size=12, group=group)
    grads = [
        jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape), p.dtype), params)
        for _ in range(3)
    ]
    ends = []
    for tx in (plain, grouped):
        now, state = params, tx.init(params)
        for g in grads:
            updates, state = jax.jit(tx.update)(g, state, now)
            now = optax.apply_updates(now, updates)
        ends.append(now)
    jax.tree.map(np.testing.assert_array_equal, *ends)
    small = 7  # of the eight leaves, in two dtypes
    mus = jax.tree.leaves(optax.tree.get(state, "mu"))
    assert len(mus) == 1 + -(-(small - 1) // group) + 1
    with pytest.raises(ValueError, match="group=0: must be a whole number >= 1"):
        stages.group_small_leaves(plain, group=0)


def test_what_cannot_be_asked_is_grouped_only_where_the_caller_knows_it():
    for tx in (optax.lamb(0.1), al.chain(al.scale_by_adam(), optax.scale(-0.1))):
        with pytest.raises(ValueError, match="is not adamlab's and cannot be asked whether"):
            stages.group_small_leaves(tx)
    params = {"a": jnp.ones(3), "b": jnp.full((2, 2), 2.0)}
    plain = optax.sgd(0.1, momentum=0.9)
    grouped = stages.group_small_leaves(plain, elementwise=True)
    one, two = (tx.update(params, tx.init(params), params)[0] for tx in (plain, grouped))
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_grouping_packs_extra_arguments_too():
    params = {"a": jnp.ones(3), "b": jnp.ones((2, 2))}
    grads = jax.tree.map(lambda p: 0.1 * p, params)
    plain = optimizers.sophia(1e-2, every=1)
    grouped = stages.group_small_leaves(plain)
    curved = {"hessian_diag": jax.tree.map(lambda p: 3 * p, params)}
    one, _ = plain.update(grads, plain.init(params), params, **curved)
    two, _ = grouped.update(grads, grouped.init(params), params, **curved)
    jax.tree.map(np.testing.assert_array_equal, one, two)


@jax.numpy_dtype_promotion("standard")  # which Optax counts on
def test_many_leaves_take_hardly_more_tracing_than_in_optax():
    params = {f"w{i}": jnp.ones((3, 5 + i % 4)) for i in range(40)}

    def operations(tx):
        state = tx.init(params)
        return len(jax.jit(tx.update).trace(params, state, params).jaxpr.eqns)

    assert operations(al.adamw(LR)) < 1.2 * operations(optax.adamw(LR))


def test_init_compiles_nothing_for_a_new_shape_that_optaxs_does_not(caplog):
    def compiled(init, rows):
        params = {f"w{i}": jnp.asarray(np.ones((rows, 40 + i), np.float32)) for i in range(4)}
        caplog.clear()
        with jax.log_compiles():
            init(params)
        return sum("Compiling" in record.message for record in caplog.records)

    compiled(al.adamw(LR).init, 2)  # what is the same for all shapes
    of_optax = compiled(optax.adamw(LR).init, 3)
    assert 0 < compiled(al.adamw(LR).init, 4) <= of_optax
