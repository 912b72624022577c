"""Problems whose behaviour is known beforehand: each against its closed form or its theorem."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import adamlab as al
from adamlab import problems

KEY = jax.random.key(0)


def _traces(problem, optimizer, settings, steps, runs=1):
    """Traces with a first dimension of `settings`, dicts of one set of names, and one of seeds."""

    def run(key, setting):
        return al.train(problem, optimizer, key, setting, steps=steps)

    table = {name: jnp.array([setting[name] for setting in settings]) for name in settings[0]}
    lanes = jax.vmap(jax.vmap(run, (0, None)), (None, 0))
    return jax.jit(lanes)(jax.random.split(KEY, runs), table)


def _starts(problem, runs, **hyper):
    hyper = {**problem.hyperparameters, **hyper}
    start = jax.jit(jax.vmap(lambda key: problem.init(key, **hyper)))
    return start(jax.random.split(KEY, runs))


# --- dictionary learning ---


@pytest.fixture(scope="module")
def dictionary():
    problem = problems.dictionary_learning()
    runs = [(problem.init(k, l1=0.0), problem.data(k, l1=0.0)) for k in jax.random.split(KEY, 20)]
    return problem, *jax.tree.map(lambda *parts: np.stack(parts), *runs)


def test_the_dictionarys_loss_is_a_mean_square_plus_the_sum_of_all_codes(dictionary):
    problem, *both = dictionary
    params, samples = jax.tree.map(lambda part: part[0], both)
    encoder, atoms, decoder = (params[part] for part in ("encoder", "dictionary", "decoder"))
    square, total = 0.0, 0.0
    for row in samples.rows:
        codes = np.maximum(row @ encoder["kernel"] + encoder["bias"], 0)
        square += np.sum(((atoms @ codes) @ decoder["kernel"] + decoder["bias"] - row) ** 2)
        total += codes.sum()
    loss = jax.jit(problem.loss)
    assert float(loss(params, samples, l1=0.0)) == pytest.approx(square / 1000, rel=1e-5)
    expected = square / 1000 + 0.01 * total
    assert float(loss(params, samples, l1=0.01)) == pytest.approx(expected, rel=1e-5)
    assert problem.tolerance == 0.05
    assert total > 10


def test_the_dictionarys_floor_is_what_pca_leaves_and_adam_reaches_it(dictionary):
    problem, _, samples = dictionary
    rows = np.asarray(samples.rows[0], np.float64)
    u, s, v = np.linalg.svd(rows - rows.mean(0))
    best = rows.mean(0) + (u[:, :5] * s[:5]) @ v[:5]
    assert float(samples.floor[0]) == pytest.approx(np.mean((rows - best) ** 2), rel=1e-5)
    trace = _traces(problem, al.adam, [{"learning_rate": 0.01}], 600)
    assert -1e-6 < float(trace.final_loss[0, 0]) < 0.01
    np.testing.assert_allclose(trace.metrics["mse"], trace.metrics["floor"], rtol=0.03)


def test_each_run_draws_its_own_samples_and_layers_start_as_in_torch(dictionary):
    _, params, samples = dictionary
    assert not np.allclose(samples.rows[0], samples.rows[1])
    assert np.std(samples.rows) == pytest.approx(1, rel=0.05)
    assert np.std(params["dictionary"]) == pytest.approx(1, rel=0.05)
    for layer, inputs in (("encoder", 10), ("decoder", 5)):
        for weights in params[layer].values():
            assert np.abs(weights).max() == pytest.approx(inputs**-0.5, rel=0.02)
            assert np.std(weights) == pytest.approx((3 * inputs) ** -0.5, rel=0.1)


def test_the_dictionarys_metrics_see_its_atoms_and_dead_codes(dictionary):
    problem, *both = dictionary
    params, samples = jax.tree.map(lambda part: part[0].copy(), both)
    params["dictionary"][:] = 0
    params["dictionary"][0] = [100, 1, 1, 1, 1, 1, 1, 0.1]
    params["encoder"]["bias"][:3] = -1e3
    seen = jax.jit(problem.metrics)(params, samples, l1=0.0)
    assert float(seen["atom_spread"]) == pytest.approx(3, rel=1e-5)
    assert float(seen["largest_atom"]) == 100
    assert float(seen["smallest_atom"]) == pytest.approx(0.1)
    assert int(seen["dead_codes"]) == 3


# --- saddle and plateau ---


def test_the_saddle_has_the_slopes_and_curvatures_it_says():
    problem = problems.saddle()
    points = jnp.array([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]])

    def at(point):
        def objective(p):
            return problem.objective(p, steepness=7.0, noise=0.0)

        return objective(point), jax.grad(objective)(point), jax.hessian(objective)(point)

    values, slopes, curvatures = jax.jit(jax.vmap(at))(points)
    np.testing.assert_array_equal(slopes, 0)
    np.testing.assert_array_equal(values, [0, problem.optimum, problem.optimum])
    for curvature, along_y in zip(curvatures, (-1, 2, 2), strict=True):
        np.testing.assert_array_equal(curvature, np.diag([7, along_y]))
    below_half_way = problem.metrics(jnp.array([0.0, 0.6]), **problem.hyperparameters)
    assert float(below_half_way["escaped"]) == 1


@pytest.mark.parametrize("optimizer", [al.adam, al.sgd])
def test_only_noise_or_another_start_leaves_the_ridge(optimizer):
    settings = [
        {"learning_rate": 0.01, "offset": offset, "noise": noise, "scatter": scatter}
        for offset, noise, scatter in ((1e-6, 0, 0), (0, 0, 0), (0, 1e-3, 0), (0, 0, 0.1))
    ]
    settings = [{name: float(value) for name, value in each.items()} for each in settings]
    near, on_it, noisy, elsewhere = range(4)
    traces = _traces(problems.saddle(), optimizer, settings, 2000, runs=3)
    np.testing.assert_array_equal(traces.metrics["escaped"][on_it], 0)
    np.testing.assert_allclose(traces.final_loss[on_it], 0, atol=1e-6)
    for free in (near, noisy, elsewhere):
        np.testing.assert_array_equal(traces.metrics["escaped"][free], 1)
        assert np.max(traces.metrics["distance"][free]) < 0.01
    # From 1e-6 gradient descent needs log(1e6) / log1p(0.01) = 1388 steps to order 1, Adam 100.
    steps = np.asarray(traces.converged_step[near])
    assert ((steps < 300) if optimizer is al.adam else (steps > 1388) & (steps < 1700)).all()


def test_starts_lie_on_both_sides_of_the_ridge_or_all_around():
    starts = np.asarray(_starts(problems.saddle(), 50, offset=0.5))
    np.testing.assert_array_equal(starts[:, 0], 1)
    assert set(starts[:, 1].tolist()) == {-0.5, 0.5}
    starts = _starts(problems.saddle(), 2000, offset=0.5, scatter=2.0)
    np.testing.assert_allclose(np.std(starts, axis=0), [2, (4 + 0.25) ** 0.5], rtol=0.1)


@pytest.mark.parametrize("build", [problems.saddle, problems.plateau])
def test_the_noise_is_on_the_gradient_and_not_in_the_objective(build):
    problem = build()
    hyper = {**problem.hyperparameters, "noise": 0.3}

    @jax.jit
    def gradients(params):
        def gradient(key):
            batch = problem.batch(key, jnp.int32(0), **hyper)
            return jax.grad(problem.loss)(params, batch, **hyper)

        noisy = jax.vmap(gradient)(jax.random.split(KEY, 4000))
        return noisy, jax.grad(problem.objective)(params, **hyper)

    noisy, clean = gradients(jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(noisy.mean(axis=0), clean, atol=0.02)
    np.testing.assert_allclose(noisy.std(axis=0), 0.3, rtol=0.05)


def test_the_plateau_is_as_flat_as_it_says():
    problem = problems.plateau()

    def start(distance):
        hyper = {"distance": distance, "noise": 0.0}
        params = problem.init(KEY, **hyper)
        return params, jax.grad(problem.objective)(params, **hyper)

    distances = np.array([2.0, 6.0, 8.0])
    params, slopes = jax.jit(jax.vmap(start))(jnp.asarray(distances, float))
    np.testing.assert_allclose(np.linalg.norm(params, axis=1), distances, rtol=1e-6)
    expected = np.asarray(params) * np.exp(-(distances**2) / 2)[:, None]
    np.testing.assert_allclose(slopes, expected, rtol=1e-4)
    outside = problem.metrics(jnp.array([1.3, 0.0]), **problem.hyperparameters)
    assert float(outside["escaped"]) == 0


def test_the_plateau_holds_gradient_descent_and_adams_eps():
    problem, settings = problems.plateau(), {"learning_rate": 0.01, "distance": 6.0}
    assert not _traces(problem, al.sgd, [settings], 2000, runs=3).metrics["escaped"].any()
    small, large = ({**settings, "eps": eps} for eps in (1e-12, 1e-4))
    metrics = _traces(problem, al.adam, [small, large], 2000, runs=3).metrics
    np.testing.assert_array_equal(metrics["escaped"], [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(metrics["final_distance"][1], 6, rtol=0.01)


# --- Zhang's finite sum ---


@pytest.mark.parametrize("functions", [10, 50])
def test_zhangs_epochs_show_each_function_once_in_an_order_drawn_anew(functions):
    problem = problems.zhang(functions)
    hyper = {"a": 3.0, "start": 1.0}
    steps = jnp.arange(40 * functions)
    keys = jax.random.split(KEY, len(steps))

    def weight(run, key, step):
        return problem.batch(key, step, problem.data(run, **hyper), **hyper)

    lanes = jax.vmap(jax.vmap(weight, (None, 0, 0)), (0, None, None))
    runs = lanes(jax.random.split(KEY), keys, steps)
    weights, other = np.asarray(runs).reshape(2, 40, functions)
    steep = weights == 1 + (functions - 1) * 3
    np.testing.assert_array_equal(steep.sum(axis=1), 1)
    np.testing.assert_array_equal(weights[~steep], -3)
    np.testing.assert_array_equal(weights.sum(axis=1), 1)
    places = steep.argmax(axis=1)
    assert len(set(places)) > functions / 3
    assert not np.array_equal(weights, other)


def test_zhangs_mean_is_least_at_minus_two():
    x = jnp.linspace(-6, 4, 1001)
    for functions in (10, 50):
        problem = problems.zhang(functions)
        values = problem.objective(x, KEY, a=3.0, start=1.0)
        assert float(x[values.argmin()]) == pytest.approx(-2, abs=1e-5)
        assert float(values.min()) == pytest.approx(problem.optimum)
        assert problem.optimum == -1.5 / functions
    slope = jax.grad(lambda x: problem.loss(x, 2.0, a=3.0, start=1.0))
    assert [float(slope(x)) for x in (5.0, -1.0, -1.5, -2.0, -4.0)] == [2, 2, 1, 0, -4]
    # The two pieces meet at -1.
    assert float(problem.loss(-1.0, 2.0)) == -2
    assert float(problem.loss(-1.0001, 2.0)) == pytest.approx(-2.0002)


def test_small_b2_sends_adam_away_from_zhangs_minimum_and_large_b2_to_it():
    problem = problems.zhang()
    settings = [
        {"learning_rate": 0.1, "b1": 0.0, "1-b2": complement}
        for complement in (0.9, 0.5, 0.01, 0.001)
    ]
    ends = _traces(problem, al.adam, settings, 5000).metrics
    assert (ends["x"][:2] > 100).all()
    assert (ends["distance"][2:] < 0.1).all()


# --- fractal net ---


def test_the_fractal_net_is_the_papers_and_has_one_start_for_all_runs():
    problem = problems.fractal_net()
    params = problem.init(KEY, offset=0.0)
    inputs, targets = problem.batch(KEY, jnp.int32(0), offset=0.0)
    assert {name: part.shape for name, part in params.items()} == {"W0": (16, 16), "W1": (16,)}
    assert (inputs.shape, targets.shape) == ((16, 272), (272,))
    for part in (*params.values(), inputs, targets):
        assert abs(np.std(part) - 1) < 4 / np.sqrt(2 * part.size)
    hidden = np.tanh(np.sqrt(2 / 16) * np.asarray(params["W0"]) @ np.asarray(inputs))
    expected = np.mean((np.asarray(params["W1"]) @ hidden / 16 - np.asarray(targets)) ** 2)
    assert float(problem.loss(params, (inputs, targets))) == pytest.approx(expected, rel=1e-5)
    assert float(problem.objective(params)) == pytest.approx(expected, rel=1e-5)
    other = problem.init(jax.random.key(1), offset=0.25)
    np.testing.assert_allclose(other["W0"], params["W0"] + 0.25)
    np.testing.assert_array_equal(other["W1"], params["W1"])
    drawn = [problems.fractal_net(draw=draw).init(KEY, offset=0.0)["W0"] for draw in (0, 1)]
    assert not np.allclose(*drawn)
    assert not np.allclose(drawn[0], params["W0"])


def test_the_fractal_nets_own_draws_are_the_notebooks():
    """What stands here was drawn by the notebook's own calls, with JAX 0.4.23."""
    problem = problems.fractal_net()
    rows = jax.jit(lambda: problem.batch(KEY, jnp.int32(0), offset=0.0))()
    parts = [*problem.init(KEY, offset=0.0).values(), *rows]
    expected = (
        (1.8020351263179202, -0.413799912571702), (0.481221237167072, -0.02586337681663514),
        (0.012877245180492047, -0.7365180591012189), (-2.3967584431649946, 0.1333345508007231),
    )  # fmt: skip
    for part, ends in zip(parts, expected, strict=True):
        np.testing.assert_allclose(np.ravel(part)[[0, -1]], ends, rtol=1e-6)
    first_layer_1_0 = -0.6874159810146191  # its units lie in columns there, in rows here
    assert float(parts[0][0, 1]) == pytest.approx(first_layer_1_0, rel=1e-6)


def test_the_fractal_nets_settings():
    assert problems.fractal_net("tanh", 272, None, None).name == "fractal-net"
    assert problems.fractal_net(draw=0).name == "fractal-net(draw=0)"
    relu = problems.fractal_net("relu", batch_size=16)
    assert relu.name == "fractal-net(hidden_activation='relu', batch_size=16)"
    inputs, targets = map(np.asarray, relu.batch(KEY, jnp.int32(0), offset=0.0))
    everything = problems.fractal_net().batch(KEY, jnp.int32(0), offset=0.0)
    all_inputs, all_targets = map(np.asarray, everything)
    assert inputs.shape == (16, 16)
    for column, target in zip(inputs.T, targets, strict=True):
        (place,) = np.flatnonzero((column == all_inputs.T).all(axis=1))
        assert all_targets[place] == target
    linear = problems.fractal_net("linear")
    params = jax.tree.map(np.asarray, linear.init(KEY, offset=0.0))
    inputs, targets = map(np.asarray, linear.batch(KEY, jnp.int32(0), offset=0.0))
    assert inputs.shape == (16, 16)
    expected = np.mean((params["W1"] @ (params["W0"] @ inputs / 4) / 16 - targets) ** 2)
    assert float(linear.loss(params, (inputs, targets))) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"hidden_activation='tan': .*did you mean 'tanh'"):
        problems.fractal_net("tan")


def test_the_fractal_net_trains_at_one_rate_and_diverges_at_another():
    settings = [{"learning_rate": rate} for rate in (1.0, 10.0, 1e4)]
    trace = _traces(problems.fractal_net(), al.sgd, settings, 300)
    assert trace.final_loss[1] < trace.final_loss[0] < 0.9 * trace.initial_loss[0]
    assert not np.isfinite(trace.final_loss[2])
    assert len(np.unique(trace.initial_loss)) == 1


# --- noisy quadratic ---


def test_the_noisy_quadratic_settles_where_its_closed_form_says():
    problem, rate = problems.noisy_quadratic(4), 0.5
    settings = [{"learning_rate": rate, "batch_size": size} for size in (1.0, 16.0)]
    traces = _traces(problem, al.sgd, settings, 2000, runs=128)
    loss = np.asarray(traces.late_loss).mean(axis=1)
    h = 1 / np.arange(1.0, 5)
    expected = np.sum(h * rate / (2 - rate * h)) / 2
    np.testing.assert_allclose(loss * [1, 16], expected, rtol=0.1)
    # All noise: a batch 16 times as large is exactly a noise of a quarter the size.
    assert float(loss[0] / loss[1]) == pytest.approx(16, rel=1e-3)


def test_the_noisy_quadratics_noise_follows_its_curvatures():
    problem = problems.noisy_quadratic()
    assert problem.name == "noisy-quadratic"
    keys = jax.random.split(KEY, 4000)
    draw = jax.vmap(lambda key: problem.batch(key, jnp.int32(0), batch_size=4.0))
    noise = np.asarray(jax.jit(draw)(keys))
    np.testing.assert_allclose(noise.var(axis=0) * np.arange(1, 101), 0.25, rtol=0.12)
    assert np.std(_starts(problem, 4000)) == pytest.approx(1, rel=0.01)
    params = jnp.ones(100)
    slope = jax.jit(jax.grad(problem.loss))(params, noise[0], batch_size=4.0)
    np.testing.assert_allclose(slope, 1 / np.arange(1, 101) + noise[0], rtol=1e-5, atol=1e-6)
    seen = problem.metrics(params, batch_size=4.0)
    total = seen["steep_loss"] + seen["flat_loss"]
    assert float(total) == pytest.approx(float(problem.objective(params, batch_size=4.0)))
    assert float(seen["flat_loss"]) == pytest.approx(sum(1 / i for i in range(51, 101)) / 2)
    odd = problems.noisy_quadratic(3).metrics(jnp.ones(3), batch_size=1.0)
    assert float(odd["flat_loss"]) == pytest.approx(1 / 6)


# --- rough loss ---


def test_the_rough_loss_is_a_mean_square_with_ripples():
    problem = problems.rough_loss()
    hyper = {"roughness": 2.0, "frequency": 3.0}
    params = jax.tree.map(np.asarray, problem.init(KEY, **hyper))
    inner, outer = params["inner"], params["outer"]
    runs = [problem.data(key, **hyper) for key in jax.random.split(KEY, 20)]
    x, y, _ = samples = jax.tree.map(np.asarray, runs[0])
    hidden = np.maximum(x @ inner["kernel"] + inner["bias"], 0)
    outputs = hidden @ outer["kernel"] + outer["bias"]
    mse, ripple = np.mean((outputs - y) ** 2), np.mean(np.abs(np.sin(3 * outputs)))
    assert inner["kernel"].shape == (10, 32)
    assert outputs.shape == (100, 1)
    loss = jax.jit(problem.loss)(params, samples, **hyper)
    assert float(loss) == pytest.approx(mse + 2 * ripple, rel=1e-5)
    seen = jax.jit(problem.metrics)(params, samples, **hyper)
    excess = jax.jit(problem.objective)(params, samples, **hyper)
    assert float(excess) == pytest.approx(float(loss - samples.floor), rel=1e-5)
    assert float(seen["floor"]) == samples.floor
    assert float(seen["mse"]) == pytest.approx(mse, rel=1e-5)
    assert float(seen["ripple"]) == pytest.approx(ripple, rel=1e-4)
    fit, *_ = np.linalg.lstsq(x, y, rcond=None)
    assert np.mean((x @ fit - y) ** 2) == pytest.approx(0.01 * 90 / 100, rel=0.5)
    assert np.std([run.targets for run in runs]) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("roughness", [0.0, 0.1, 1.0, 4.0])
@pytest.mark.parametrize("frequency", [1e-3, 0.3, 1.0, 3.0, 30.0])
def test_the_rough_losss_floor_is_the_least_loss_of_any_outputs(roughness, frequency):
    hyper = {"roughness": roughness, "frequency": frequency}
    samples = problems.rough_loss().data(KEY, **hyper)
    outputs = np.linspace(-6, 6, 60_001)
    kinks = np.pi / frequency * np.arange(-60, 61)
    outputs = np.append(outputs, kinks[abs(kinks) < 6])
    ripples = roughness * abs(np.sin(frequency * outputs))
    least = [min((outputs - float(y)) ** 2 + ripples) for y in samples.targets[:, 0]]
    assert float(samples.floor) == pytest.approx(np.mean(least), rel=1e-4, abs=1e-6)


def test_the_rough_losss_floor_can_be_reached():
    trace = _traces(problems.rough_loss(), al.adam, [{"learning_rate": 1e-3}], 3000)
    assert 0 < float(trace.best_loss[0, 0]) < 0.01 * float(trace.initial_loss[0, 0])


# --- Toint's claim ---


def test_adam_walks_on_for_ever_whatever_its_averages():
    grid = [(b1, c, m) for b1 in (0.0, 0.9, 0.99) for c in (0.1, 1e-3) for m in (1.0, 2.0)]
    settings = [
        {"learning_rate": multiple / 128, "b1": b1, "1-b2": complement}
        for b1, complement, multiple in [*grid, (0.9, 1e-3, 1 / 64)]
    ]
    traces = _traces(problems.toint(), al.adam, settings, 10_000)
    x, slope = traces.metrics["x"][:, 0], traces.metrics["slope"][:, 0]
    np.testing.assert_array_equal(x[:-1], [10_000 * multiple / 128 for *_, multiple in grid])
    np.testing.assert_array_equal(slope[:-1], -1)
    np.testing.assert_array_equal(traces.final_loss[:-1], 0)
    np.testing.assert_array_equal(traces.converged_step[:-1], -1)
    assert float(traces.final_loss[-1, 0]) == pytest.approx(-1, abs=0.01)
    assert float(x[-1]) == pytest.approx(1 / 512, rel=0.1)


def test_the_endless_slope_is_smooth_and_bounded():
    problem = problems.toint()
    x = jnp.linspace(-1.0, 1.0, 4001)
    loss = jax.vmap(lambda x: problem.loss(x, None, stride=0.25))(x)
    np.testing.assert_allclose(loss, -np.sin(8 * np.pi * np.asarray(x)), atol=1e-5)
    assert float(loss.min()) == pytest.approx(problem.optimum)
    slope = jax.grad(problem.loss)
    steepest = [float(slope(0.25 * k, None, stride=0.25)) for k in (0, 1, 4000)]
    np.testing.assert_allclose(steepest, -8 * np.pi, rtol=1e-6)


@pytest.mark.parametrize("build", [problems.zhang, problems.noisy_quadratic, problems.fractal_net])
def test_bad_sizes_are_named(build):
    name = {"zhang": "functions", "noisy_quadratic": "dimension"}.get(build.__name__, "datapoints")
    with pytest.raises(ValueError, match=f"{name}=0: must be a whole number >= [12]"):
        build(**{name: 0})
    with pytest.raises(TypeError, match=rf"{name}=1\.5: must be a whole number"):
        build(**{name: 1.5})
