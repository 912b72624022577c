"""One run: its statistics against its whole loss curve, its purity, its hyperparameters."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import adamlab as al
from adamlab import optimizers, stages
from adamlab.analysis import bootstrap
from adamlab.training import checkpoint_steps
from adamlab.training.statistics import late_from

KEY = jax.random.key(3)
POINT = {"learning_rate": 0.02, "1-b2": 0.01}


def _noisy_line():
    """A stochastic problem with an objective: x is pulled to noise around zero."""
    return al.Problem(
        "noisy-line",
        init=lambda key, scale: scale * jax.random.normal(key, (3,)),
        loss=lambda x, noise, scale: jnp.sum((x - noise) ** 2),
        batch=lambda key, step, scale: 0.1 * jax.random.normal(key, (3,)),
        objective=lambda x, scale: jnp.sum(x**2),
        metrics=lambda x, scale: {"norm": jnp.linalg.norm(x)},
        hyperparameters={"scale": 2.0},
    )


def test_the_average_is_that_of_the_late_parameters():
    """x flips between +1 and -1: the loss is constant, and so is a quarter's mean, zero."""
    trace = al.train(
        al.quadratic(1), al.sgd, KEY, {"learning_rate": 2.0, "condition": 1.0}, steps=400
    )
    assert trace.late_loss == 0.5
    assert trace.late_spread == 0
    assert trace.late_rise == 0
    assert trace.average_loss == 0


@pytest.mark.parametrize("problem", [al.rosenbrock(), _noisy_line()], ids=lambda p: p.name)
@pytest.mark.parametrize("steps", [8, 50, 333])
def test_statistics_are_those_of_the_curve(problem, steps):
    trace = al.train(problem, al.adam, KEY, POINT, steps=steps, checkpoints=steps, curve=True)
    curve = np.asarray(trace.curve, np.float64)
    assert curve.shape == (steps,)
    late, earlier = curve[-(steps // 4) :], curve[-2 * (steps // 4) : -(steps // 4)]
    np.testing.assert_allclose(trace.late_loss, late.mean(), rtol=1e-5)
    np.testing.assert_allclose(trace.late_spread, late.std(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(trace.earlier_loss, earlier.mean(), rtol=1e-5)
    half = np.r_[earlier, late]
    rise = (half - np.minimum.accumulate(half)).max()
    np.testing.assert_allclose(trace.late_rise, rise, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(trace.final_loss, curve[-1], rtol=1e-6)
    np.testing.assert_allclose(trace.best_loss, min(curve.min(), trace.initial_loss), rtol=1e-6)
    np.testing.assert_allclose(trace.target_loss, 1e-3 * trace.initial_loss, rtol=1e-6)
    reached = np.flatnonzero(curve <= trace.target_loss)
    assert int(trace.converged_step) == (reached[0] + 1 if len(reached) else -1)
    assert int(trace.nonfinite_step) == -1


def test_the_run_is_the_plain_loop():
    """The same updates as a loop that anyone would write with Optax."""
    problem, steps = _noisy_line(), 20
    with jax.numpy_dtype_promotion("standard"):
        trace = al.train(problem, optax.adam, KEY, {"learning_rate": 0.1}, steps=steps)
    init_key, data_key = jax.random.split(KEY)
    x = problem.init(init_key, scale=2.0)
    tx = optax.adam(0.1)
    state = tx.init(x)
    with jax.numpy_dtype_promotion("standard"):
        for t in range(steps):
            noise = problem.batch(jax.random.fold_in(data_key, t), t, scale=2.0)
            grads = jax.grad(problem.loss)(x, noise, scale=2.0)
            updates, state = tx.update(grads, state, x)
            x = optax.apply_updates(x, updates)
    np.testing.assert_allclose(trace.metrics["norm"], jnp.linalg.norm(x), rtol=1e-5)
    np.testing.assert_allclose(trace.final_loss, problem.objective(x, scale=2.0), rtol=1e-5)


def test_a_run_that_breaks_says_when():
    trace = al.train(al.quadratic(1), al.sgd, KEY, {"learning_rate": 1.0}, steps=100)
    assert 5 < int(trace.nonfinite_step) < 30
    assert np.isfinite(trace.best_loss)
    assert not np.isfinite(trace.final_loss)


def test_parameters_stay_where_the_problem_projects_them():
    trace = al.train(al.reddi(), al.sgd, KEY, {"learning_rate": 10.0}, steps=64)
    assert abs(float(trace.metrics["x"])) <= 1


def test_extra_arguments_get_the_loss():
    def greedy(learning_rate):
        return optax.chain(optax.polyak_sgd(max_learning_rate=learning_rate))

    with jax.numpy_dtype_promotion("standard"):
        trace = al.train(al.quadratic(), greedy, KEY, {"learning_rate": 0.01}, steps=64)
    assert trace.final_loss < trace.initial_loss


def test_statistics_take_no_memory_per_step():
    def bytes_for(steps):
        def run(key, rate):
            return al.train(al.rosenbrock(), al.adam, key, {"learning_rate": rate}, steps=steps)

        compiled = jax.jit(run).lower(KEY, jnp.float32(0.1)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert bytes_for(10_000) == bytes_for(100)


@given(steps=st.integers(8, 2000), checkpoints=st.integers(8, 200))
@example(steps=15, checkpoints=8)
@example(steps=12, checkpoints=11)
@example(steps=126, checkpoints=32)
@example(steps=288, checkpoints=32)
@example(steps=1715, checkpoints=8)
def test_checkpoints_rise_to_the_end_and_see_every_short_cycle(steps, checkpoints):
    ends = checkpoint_steps(steps, checkpoints)
    assert len(ends) == min(steps, checkpoints)
    assert ends[-1] == steps
    assert ends[0] >= 1
    assert (np.diff(ends) >= 1).all()
    even = np.arange(1, len(ends) + 1) * steps / len(ends)
    assert (abs(ends - even) < 7).all()
    late = late_from(steps)
    for part in (ends[ends > late], ends[(ends > 2 * late - steps) & (ends <= late)]):
        for cycle, least in {2: 12, 3: 24, 5: 32, 7: 54 if checkpoints > 8 else np.inf}.items():
            if steps >= least:
                assert np.bincount(part % cycle).max() <= 0.75 * len(part)


@pytest.mark.parametrize(("cycle", "steps", "checkpoints"), [
    (2, 896, 32), (2, 900, 32), (2, 13, 8), (2, 14, 9), (3, 288, 32), (3, 480, 32), (3, 24, 8),
    (5, 480, 32), (5, 1000, 100), (7, 896, 32), (7, 1120, 9),
])  # fmt: skip
def test_a_lasting_oscillation_is_one_at_any_number_of_steps(cycle, steps, checkpoints):
    """x falls by 1 for all of a cycle's steps but the last, which leads back."""
    jumping = al.Problem(
        "jumping",
        init=lambda key: jnp.asarray(5.25),
        loss=lambda x, push: push * x,
        batch=lambda key, step: jnp.where(step % cycle == cycle - 1, 1.0 - cycle, 1.0),
        objective=jnp.abs,
    )
    found = al.convergence_map(
        jumping, al.sgd, {"learning_rate": [1.0]}, steps=steps, checkpoints=checkpoints
    )
    assert found["outcome"].item() == al.Outcome.OSCILLATING


def test_what_makes_no_update_is_not_trained_with():
    with pytest.raises(ValueError, match="scale_by_adam: makes a direction and no update"):
        al.train(al.quadratic(), al.scale_by_adam, KEY, {}, steps=8)
    own = stages.DirectionToDirection.from_function(
        "own", lambda u: jax.tree.map(lambda x: -0.1 * x, u)
    )
    for signed in (optax.scale(-0.1), al.scale_by_learning_rate(0.1), own):
        al.train(
            al.quadratic(), lambda end=signed: al.chain(al.scale_by_adam(), end), KEY, {}, steps=8
        )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_statistics_of_narrow_losses_are_kept_wide(dtype):
    steps, seen = 4000, np.array([0.5, 1.5])
    flip = al.Problem(
        "flip",
        init=lambda key: jnp.asarray(seen[0], dtype),
        loss=lambda x, batch: x,
    )

    def flipping(learning_rate):
        del learning_rate
        return optax.stateless(lambda grads, x: (2 - 2 * x).astype(dtype))

    trace = al.train(flip, flipping, KEY, {"learning_rate": 1.0}, steps=steps)
    assert trace.late_loss.dtype == jnp.float32
    np.testing.assert_allclose(trace.late_loss, 1, rtol=1e-3)
    np.testing.assert_allclose(trace.late_spread, 0.5, rtol=1e-3)
    np.testing.assert_allclose(trace.average_loss, 1, rtol=1e-2)


def test_a_loss_of_minus_infinity_is_no_best_loss():
    sink = al.Problem("sink", init=lambda key: jnp.ones([]), loss=lambda x, batch: jnp.log(x))
    fall = al.train(sink, lambda learning_rate: optax.sgd(learning_rate), KEY,
                    {"learning_rate": 1.0}, steps=8)  # fmt: skip
    assert fall.best_loss == 0
    assert fall.nonfinite_step == 1


def test_an_oscillation_of_period_two_does_not_look_like_rest():
    problem = al.Problem(
        "flip",
        init=lambda key: jnp.ones([]),
        loss=lambda x, batch: x**2,
        batch=lambda key, step: None,
        objective=lambda x: jnp.where(x > 0, 2.0, 1.0),
    )
    trace = al.train(problem, al.sgd, KEY, {"learning_rate": 1.0}, steps=128, checkpoints=16)
    assert trace.late_spread > 0.3


UNKNOWN = {
    "unknown": ({"lr": 1.0}, "hyperparameter 'lr': neither the optimizer adam nor the problem"),
    "near": ({"learning_rat": 1.0}, "did you mean 'learning_rate'"),
    "of the problem": ({"learning_rate": 1.0, "featurescale": 1.0}, "did you mean 'feature_scale'"),
    "missing": ({"b1": 0.5}, "hyperparameter 'learning_rate': the optimizer adam needs it"),
    "twice": ({"learning_rate": 1.0, "b2": 0.9, "1-b2": 0.1}, "'b2' is given twice"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_hyperparameters_that_do_not_fit_are_named(name):
    values, message = UNKNOWN[name]
    with pytest.raises(ValueError, match=message):
        al.train(al.digits_mlp(), al.adam, KEY, values, steps=8)


@pytest.mark.parametrize("values", [{"learning_rate": 0.1, "eps": 0.1}, {"learning_rate": 0.1}])
def test_a_name_that_belongs_to_both_is_refused(values):
    """Also where neither is given: the map would say that Adam ran with the problem's."""
    problem = al.Problem(
        "clash", init=lambda key, eps: jnp.ones(1), loss=lambda x, batch, eps: x.sum(),
        hyperparameters={"eps": 1.0},
    )  # fmt: skip
    with pytest.raises(ValueError, match="'eps' belongs both to the optimizer adam and"):
        al.train(problem, al.adam, KEY, values, steps=8)


WRONG_PARTS = {
    "a vector": ({"loss": lambda x, b: x}, r"its loss is float32\[2\]: must be a real scalar"),
    "beside an objective": (
        {"loss": lambda x, b: x, "objective": lambda x: x.sum()}, r"its loss is float32\[2\]: must"
    ),
    "nothing": ({"loss": lambda x, b: None}, "its loss is a NoneType: must be a real scalar"),
    "a pair": ({"loss": lambda x, b: (x.sum(), x)}, "its loss is a tuple: must be a real scalar"),
    "no objective": ({"objective": lambda x: None}, "its objective is a NoneType: must be a real"),
    "no parameters": ({"init": lambda key: None}, "init gave None: must give arrays"),
    "no leaves": ({"init": lambda key: {}}, "init gave {}: must give arrays"),
    "a metric": ({"metrics": lambda x: x.sum()}, "metrics gave a .*: must give a dict of arrays"),
    "a list": (
        {"metrics": lambda x: {"m": [1, 2]}}, "metrics gave a list for 'm': must give an array"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_what_a_problems_functions_give_is_checked(name):
    parts, message = WRONG_PARTS[name]
    good = {"init": lambda key: jnp.ones(2), "loss": lambda x, b: (x**2).sum()}
    problem = al.Problem("mine", **{**good, **parts})
    with pytest.raises(TypeError, match=message):
        al.train(problem, al.adam, KEY, {"learning_rate": 0.1}, steps=8)


def test_a_number_of_pythons_is_an_objective():
    flat = al.Problem(
        "flat", init=lambda key: jnp.ones(2), loss=lambda x, batch: (x**2).sum(),
        objective=lambda x: 1.0,
    )  # fmt: skip
    assert al.train(flat, al.sgd, KEY, {"learning_rate": 0.1}, steps=8).late_loss == 1


def test_what_a_probe_gives_is_checked():
    for found, message in ((1.0, "probe gave a float: must"), ({"a": [1]}, "a list for 'a': must")):
        with pytest.raises(TypeError, match=message):
            al.train(
                al.quadratic(), al.adam, KEY, {"learning_rate": 0.1}, steps=8,
                probe=lambda params, state, found=found: found,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 7}, "steps=7: must be a whole number >= 8"),
        ({"steps": 10.0}, "steps=10.0: must be a whole number"),
        ({"steps": 100, "checkpoints": 3}, "checkpoints=3"),
    ],
)
@pytest.mark.parametrize("problem", [al.reddi, al.rosenbrock])  # with and without an objective
def test_bad_lengths_are_named(problem, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        al.train(problem(), al.adam, KEY, {"learning_rate": 1.0}, **options)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-5.0, "condition=-5: must be"),
        (np.array([1.0, 5.0]), r"condition has shape \(2,\): must be"),
    ],
)
def test_a_problems_hyperparameter_is_checked_as_in_a_map(value, message):
    given = {"learning_rate": 0.1, "condition": value}
    with pytest.raises((ValueError, TypeError), match=message):
        al.train(al.quadratic(), al.sgd, KEY, given, steps=8)


def test_data_are_drawn_once_a_run_and_reach_every_function():
    def data(key, *, noise):
        inputs = jax.random.normal(key, (20, 3))
        return inputs, inputs.sum(-1) + noise

    def fit(weights, pairs, **_):
        inputs, targets = pairs
        return jnp.mean((inputs @ weights - targets) ** 2)

    def some(key, step, pairs, **_):
        rows = jax.random.randint(key, (5,), 0, 20)
        return jax.tree.map(lambda part: part[rows], pairs)

    whole = al.Problem(
        "fit",
        data=data,
        init=lambda key, **_: jnp.zeros(3),
        loss=fit,
        metrics=lambda weights, pairs, **_: {"total": pairs[0].sum()},
        hyperparameters={"noise": 0.0},
    )
    sampled = dataclasses.replace(whole, batch=some, objective=fit)
    keys = jax.random.split(jax.random.key(0), 3)
    runs = [
        jax.vmap(lambda key, p=p: al.train(p, al.adam, key, {"learning_rate": 0.1}, steps=200))(
            keys
        )
        for p in (whole, sampled)
    ]
    for run in runs:
        np.testing.assert_array_less(run.final_loss, 1e-2)
    np.testing.assert_array_equal(runs[0].initial_loss, runs[1].initial_loss)
    np.testing.assert_array_equal(runs[0].metrics["total"], runs[1].metrics["total"])
    assert len(np.unique(runs[0].metrics["total"])) == 3


def test_a_probe_sees_parameters_and_state_at_each_checkpoint():
    problem = al.quadratic()

    def look(params, state):
        return {"place": params, "count": optax.tree.get(state, "count")}

    trace = al.train(
        problem, al.adam, jax.random.key(0), {"learning_rate": 0.1},
        steps=40, checkpoints=8, curve=True, probe=look,
    )  # fmt: skip
    assert trace.probed["count"].tolist() == checkpoint_steps(40, 8).tolist()
    assert trace.probed["place"].shape == (8, 2)
    losses = [problem.loss(x, None, condition=100.0, start=1.0) for x in trace.probed["place"]]
    np.testing.assert_allclose(losses, trace.curve, rtol=1e-6)


def test_data_are_drawn_apart_from_the_initial_parameters():
    def draw(key):
        return jax.random.normal(key, (3,))

    twins = al.Problem(
        "twins", init=draw, data=draw, loss=lambda x, data: jnp.sum((x - data) ** 2),
        metrics=lambda x, data: {"nearest": abs(x - data).min()},
    )  # fmt: skip
    assert al.train(twins, al.sgd, KEY, {"learning_rate": 0.0}, steps=8).metrics["nearest"] > 1e-3


@pytest.mark.parametrize(("start", "step"), [(0.5, 0), (1.0, 0), (1.5, -1)])
def test_a_run_that_begins_at_its_target_has_converged(start, step):
    still = al.Problem(
        "still", init=lambda key: jnp.asarray(start), loss=lambda x, batch: x,
        objective=lambda x: x, target=1.0,
    )  # fmt: skip
    run = al.train(still, al.sgd, KEY, {"learning_rate": 0.0}, steps=8)
    assert run.converged_step == step


def test_a_run_converges_where_it_comes_to_its_target():
    line = al.Problem(
        "line", init=lambda key: jnp.asarray(9.0), loss=lambda x, batch: x, target=6.0
    )
    assert al.train(line, al.sgd, KEY, {"learning_rate": 1.0}, steps=8).converged_step == 3


def test_what_is_never_finite_has_no_best_loss():
    never = al.Problem("never", init=lambda key: -jnp.ones([]), loss=lambda x, batch: jnp.log(x))
    assert al.train(never, al.sgd, KEY, {"learning_rate": 0.0}, steps=8).best_loss == jnp.inf


@pytest.mark.parametrize("name", optimizers.names())
def test_every_named_optimizer_trains(name):
    """Traced, not run: what an optimizer asks for beside gradients is there."""
    problem = _noisy_line()
    jax.eval_shape(
        lambda key: al.train(
            problem, lambda learning_rate: optimizers.example(name, learning_rate), key,
            {"learning_rate": 0.1}, steps=8,
        ), KEY,
    )  # fmt: skip


def _newton(learning_rate):
    return al.chain(
        stages.track_moments(0.0, None), stages.track_curvature(stages.means(0.0)),
        stages.precondition(stages.unrooted()), al.scale_by_learning_rate(learning_rate),
    )  # fmt: skip


NEWTONS = {
    "alone": _newton,
    "optax.chain": lambda learning_rate: optax.chain(optax.identity(), _newton(learning_rate)),
    "optax.masked": lambda learning_rate: optax.masked(
        _newton(learning_rate), {"x": True}, mask_compatible_extra_args=True
    ),
    "optax.MultiSteps": lambda learning_rate: optax.MultiSteps(_newton(learning_rate), 1),
    "group_small_leaves": lambda learning_rate: al.stages.group_small_leaves(
        _newton(learning_rate)
    ),
}


@pytest.mark.parametrize("name", NEWTONS)
def test_an_optimizer_that_needs_the_hessian_is_given_the_batchs(name):
    """Where each batch's Hessian is diagonal the estimate is exact: Newton's step."""
    bowls = al.Problem(
        "bowls",
        init=lambda key: {"x": jnp.ones(3)},
        batch=lambda key, step: jax.random.uniform(key, (3,), minval=1.0, maxval=100.0),
        loss=lambda params, curvature: (curvature * params["x"] ** 2).sum() / 2,
        objective=lambda params: (params["x"] ** 2).sum(),
    )
    with jax.numpy_dtype_promotion("standard"):  # MultiSteps promotes
        trace = al.train(bowls, NEWTONS[name], KEY, {"learning_rate": 0.5}, steps=8)
    np.testing.assert_allclose(trace.final_loss, 3 * 0.25**8, rtol=1e-5)


def test_each_step_has_an_estimate_of_its_own():
    hessian = jnp.array([[2.0, 1.0], [1.0, 2.0]])
    bowl = al.Problem("bowl", init=lambda key: jnp.ones(2), loss=lambda x, batch: x @ hessian @ x)
    trace = al.train(
        bowl, _newton, KEY, {"learning_rate": 0.1}, steps=16, checkpoints=16,
        probe=lambda params, state: {"diagonal": state[1].nu},
    )  # fmt: skip
    assert set(np.unique(trace.probed["diagonal"])) == {2.0, 6.0}


def test_the_loss_and_the_hessian_may_both_be_asked_for():
    def both(learning_rate):
        stage = stages.GradientToGradient.from_update(
            "see", optax.init_empty_state, lambda g, s, *, value, **_: (g / (1 + value), s),
            extra_args=("value",),
        )  # fmt: skip
        return al.chain(stage, _newton(learning_rate))

    trace = al.train(al.quadratic(), both, KEY, {"learning_rate": 0.1}, steps=8)
    assert 0 < trace.final_loss < trace.initial_loss


def test_another_missing_argument_is_not_made_up():
    def weighed(learning_rate):
        stage = stages.GradientToGradient.from_update(
            "weigh", optax.init_empty_state, lambda g, s, *, weight, **_: (g, s),
            extra_args=("weight",),
        )  # fmt: skip
        return al.chain(stage, al.sgd(learning_rate))

    with pytest.raises(stages.MissingArgumentError, match="weigh needs weight; pass it to update"):
        al.train(_noisy_line(), weighed, KEY, {"learning_rate": 0.1}, steps=8)


def test_a_probe_sees_the_data():
    problem = al.Problem(
        "rows", init=lambda key: jnp.zeros(()), data=lambda key: jnp.arange(3.0),
        loss=lambda x, data: ((x - data) ** 2).sum(),
    )  # fmt: skip
    trace = al.train(
        problem, al.sgd, KEY, {"learning_rate": 0.1}, steps=8,
        probe=lambda params, state, data: {"rows": data},
    )  # fmt: skip
    np.testing.assert_array_equal(trace.probed["rows"], np.tile(np.arange(3.0), (8, 1)))


def test_data_and_first_parameters_are_drawn_apart():
    """A source that splits its key, as `train` does, must not get the parameters' half."""
    twins = al.Problem(
        "twins",
        init=lambda key: jax.random.normal(key, (3,)),
        data=lambda key: jax.random.normal(jax.random.split(key)[0], (3,)),
        loss=lambda x, data: jnp.sum((x - data) ** 2),
        metrics=lambda x, data: {"nearest": abs(x - data).min()},
    )
    trace = al.train(twins, al.sgd, KEY, {"learning_rate": 0.0}, steps=8)
    assert trace.metrics["nearest"] > 1e-3


def test_parameters_stay_narrow_where_the_loss_takes_no_others():
    one = jnp.ones([], jnp.bfloat16)
    strict = al.Problem("strict", init=lambda key: one, loss=lambda x, batch: jax.lax.mul(x, one))
    trace = al.train(strict, al.sgd, KEY, {"learning_rate": 0.1}, steps=8)
    assert jnp.isfinite(trace.average_loss)


@pytest.mark.parametrize("optimizer", [al.sgd, al.adam])
def test_complex_parameters_descend(optimizer):
    goal = jnp.array([2 - 3j, -1 + 0.5j])
    problem = al.Problem(
        "complex", init=lambda key: jnp.ones(2, complex),
        loss=lambda z, batch: jnp.sum(jnp.abs(z - goal) ** 2), metrics=lambda z: {"end": z.imag},
    )  # fmt: skip
    trace = al.train(problem, optimizer, KEY, {"learning_rate": 0.1}, steps=400)
    assert trace.late_loss < 1e-3 * trace.initial_loss
    np.testing.assert_allclose(trace.metrics["end"], goal.imag, atol=1e-2)


def test_a_function_that_does_not_take_what_it_is_given_is_refused_by_name():
    problem, rate = al.quadratic(), {"learning_rate": 0.1}
    for call, words in (
        (lambda: al.adam(lambda: 0.1), r"learning_rate: is called as learning_rate\(count\), but"),
        (lambda: al.adam(0.1, b1=lambda: 0.9), r"b1: is called as b1\(count\), but"),
        (
            lambda: stages.change_mu("mine", lambda mu: mu),
            r"function: is called as function\(mu, gradient\), but",
        ),
        (
            lambda: al.train(problem, al.adam, KEY, rate, steps=8, probe=lambda params: {}),
            r"probe: is called as probe\(params, state\), but",
        ),
        (
            lambda: bootstrap(np.arange(3.0), lambda samples: samples.mean()),
            r"statistic: is called as statistic\(samples, axis=0\), but",
        ),
        (lambda: bootstrap(np.arange(3.0), 3), "statistic=3: must be a function"),
    ):
        with pytest.raises(TypeError, match=words):
            call()
    assert bootstrap(np.ones(3), partial(np.quantile, q=0.5)).value == 1
