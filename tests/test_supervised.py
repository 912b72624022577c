"""Supervised problems: what the sources hold, what spoils them, what the networks compute."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

import adamlab as al
from adamlab import problems
from adamlab.problems import (
    Data,
    Model,
    Source,
    breast_cancer,
    cross_entropy,
    diabetes,
    dictionary_learning,
    digits,
    few,
    huber,
    imbalanced,
    linear_data,
    mislabelled,
    network,
    noisy_quadratic,
    penalized,
    rescaled,
    squared_error,
    standardized,
    supervised,
    wine,
    with_input_noise,
    with_outliers,
)

KEY = jax.random.key(5)
TABLES = {
    "digits": (digits(), 1797, 64, 10),
    "digits 28": (digits(28), 1797, 784, 10),
    "wine": (wine(), 178, 13, 3),
    "breast cancer": (breast_cancer(), 569, 30, 2),
    "diabetes": (diabetes(), 442, 10, 1),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_whole_and_split_once(name):
    source, rows, features, outputs = TABLES[name]
    data = source.draw(KEY)
    assert len(data.inputs) == int(0.8 * rows)
    assert len(data.inputs) + len(data.test_inputs) == rows
    assert data.inputs.shape[1] == features == source.features
    assert source.outputs == outputs
    together = np.r_[data.inputs, data.test_inputs]
    assert len(np.unique(together, axis=0)) > 0.99 * rows, "rows train and test"
    if outputs > 1:
        assert set(np.asarray(data.targets)) == set(np.asarray(data.test_targets))
    else:
        assert data.targets.shape[1:] == (1,)


def test_interpolated_digits_keep_the_pictures():
    small, large = digits().draw(KEY).inputs, digits(28).draw(KEY).inputs
    assert float(large.min()) >= 0
    assert float(large.max()) <= 1
    np.testing.assert_allclose(large.mean(1), small.mean(1), atol=0.06)


def test_a_change_leaves_the_draw_and_the_other_changes_as_they_are():
    plain = linear_data().rows(KEY)
    np.testing.assert_array_equal(
        rescaled(linear_data()).rows(KEY, feature_scale=1.0, feature_ratio=1.0).inputs, plain.inputs
    )
    raw, near = mislabelled(wine()), mislabelled(standardized(wine()))
    targets = [source.rows(KEY, label_noise=0.3).targets for source in (raw, near)]
    np.testing.assert_array_equal(*targets)
    assert (targets[0] != wine().rows(KEY).targets).any()


def test_the_same_change_twice_draws_anew():
    once = with_outliers(linear_data(1000))
    plain, one, two = (
        source.rows(KEY, outliers=0.1).targets
        for source in (linear_data(1000), once, with_outliers(once))
    )
    assert float((one != plain).mean()) == pytest.approx(0.1, abs=0.03)
    assert float((two != plain).mean()) == pytest.approx(0.19, abs=0.03)


def test_different_changes_draw_different_rows():
    data = with_outliers(with_outliers(linear_data(200)), "inputs").rows(KEY, outliers=0.5)
    plain = linear_data(200).rows(KEY)
    spoilt = [(a != b).any(1) for a, b in zip(data[:2], plain[:2], strict=True)]
    assert (spoilt[0] != spoilt[1]).any()


def test_linear_data_are_another_draw_for_each_key_with_the_noise_asked_for():
    one, other = (linear_data(5000, 3, noise=0.2).draw(k) for k in jax.random.split(KEY))
    assert not np.allclose(one.inputs, other.inputs)
    weights, rest, *_ = np.linalg.lstsq(one.inputs, one.targets)
    assert np.sqrt(rest / 5000) == pytest.approx(0.2, rel=0.05)
    test_error = one.test_inputs @ weights - one.test_targets
    assert float(test_error.std()) == pytest.approx(0.2, rel=0.1)


def test_standardized_features_have_unit_variance_over_the_train_rows():
    data = standardized(wine()).draw(KEY)
    np.testing.assert_allclose(data.inputs.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(data.inputs.std(0), 1, rtol=1e-4)
    assert not np.allclose(data.test_inputs.std(0), 1, rtol=1e-3)
    assert np.isfinite(standardized(digits()).draw(KEY).inputs).all(), "a pixel is always dark"


@pytest.mark.parametrize(("value", "dtype"), [(1e6, np.float32), (-1e5, float), (2**24, int)])
def test_features_far_from_zero_are_standardized_as_float64_would(value, dtype):
    x = (100 * np.random.default_rng(0).normal(size=(60, 3)) + value).astype(dtype)
    known = np.asarray(x, np.float32).astype(float)
    data = standardized(_mine(x, np.zeros(60, np.int32))).draw(KEY)
    mean, deviation = known[:40].mean(0), known[:40].std(0)
    np.testing.assert_allclose(data.inputs, (known[:40] - mean) / deviation, atol=1e-5)
    np.testing.assert_allclose(data.test_inputs, (known[40:] - mean) / deviation, atol=1e-5)


@pytest.mark.parametrize("size", [1e32, 1e-25, 0.0])
def test_features_of_any_size_are_standardized(size):
    x = size * np.random.default_rng(0).normal(size=(60, 3))
    data = standardized(_mine(x.astype(np.float32), np.zeros(60, np.int32))).draw(KEY)
    np.testing.assert_allclose(data.inputs.std(0), float(size > 0), rtol=1e-5)


def test_few_rows_are_the_first_and_the_test_rows_stay():
    whole, part = wine().draw(KEY), few(wine(), 20).draw(KEY)
    np.testing.assert_array_equal(part.inputs, whole.inputs[:20])
    np.testing.assert_array_equal(part.targets, whole.targets[:20])
    np.testing.assert_array_equal(part.test_inputs, whole.test_inputs)


def test_rescaled_features_run_from_one_to_the_ratio():
    plain, source = wine().draw(KEY), rescaled(wine())
    data = source.draw(KEY, feature_scale=2.0, feature_ratio=100.0)
    factors = (data.inputs / plain.inputs)[0]
    np.testing.assert_allclose(factors[jnp.array([0, -1])], [2, 200], rtol=1e-5)
    np.testing.assert_allclose(np.diff(np.log(factors)), np.log(100) / 12, rtol=1e-4)
    assert source.hyperparameters == {"feature_scale": 1.0, "feature_ratio": 1.0}


def test_mislabelled_rows_are_the_share_asked_for_and_always_wrong():
    truth = digits().draw(KEY).targets
    wrong = mislabelled(digits()).draw(KEY, label_noise=0.3).targets != truth
    assert float(wrong.mean()) == pytest.approx(0.3, abs=0.05)
    assert (mislabelled(digits()).draw(KEY, label_noise=1.0).targets != truth).all()
    assert (mislabelled(digits()).draw(KEY, label_noise=0.0).targets == truth).all()


@pytest.mark.parametrize("outputs", [1, 2])
def test_wrong_labels_of_two_classes_go_both_ways(outputs):
    x, y = _images()
    wrong = mislabelled(_mine(x, y, outputs)).draw(KEY, label_noise=1.0).targets
    np.testing.assert_array_equal(wrong, 1 - y[:40])


def test_imbalanced_classes_are_rarer_by_the_ratio():
    targets = np.asarray(imbalanced(digits()).draw(KEY, imbalance=20.0).targets)
    common, rare = (targets < 5).sum(), (targets >= 5).sum()
    assert common / rare == pytest.approx(20, rel=0.35)
    assert set(np.asarray(imbalanced(wine()).draw(KEY, imbalance=1e9).targets)) == {0, 1}


@pytest.mark.parametrize("kind", ["targets", "inputs"])
def test_outliers_spoil_the_share_asked_for(kind):
    clean = linear_data(1000).draw(KEY)
    data = with_outliers(linear_data(1000), kind).draw(KEY, outliers=0.1)
    off = (getattr(data, kind) != getattr(clean, kind)).any(1)
    assert float(off.mean()) == pytest.approx(0.1, abs=0.03)
    other = "inputs" if kind == "targets" else "targets"
    np.testing.assert_array_equal(getattr(data, other), getattr(clean, other))


def test_outliers_keep_the_shape_of_targets_that_are_a_vector():
    def drawn(key):
        clean = linear_data(1000).draw(key)
        return clean._replace(targets=clean.targets[:, 0], test_targets=clean.test_targets[:, 0])

    data = with_outliers(Source("a vector", drawn, 10, 1)).draw(KEY, outliers=0.1)
    assert data.targets.shape == (1000,)
    assert 0.05 < (data.targets != drawn(KEY).targets).mean() < 0.15


def test_a_network_computes_what_its_widths_say():
    model = network((3, 5, 2), activation="tanh")
    params = model.init(KEY)
    x = jax.random.normal(KEY, (7, 3))
    (w0, b0), (w1, b1) = (
        (params["linears"][i]["kernel"], params["linears"][i]["bias"]) for i in (0, 1)
    )
    expected = jnp.tanh(x @ w0 + b0[None]) @ w1 + b1[None]
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-5, atol=1e-6)


def test_residual_links_carry_the_input_of_layers_of_one_width():
    plain, linked = (network((4, 4, 4, 1), residual=r) for r in (False, True))
    params = jax.tree.map(jnp.zeros_like, plain.init(KEY))
    params["linears"][2]["kernel"] = jnp.ones((4, 1))
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(plain.apply(params, x), np.zeros((2, 1)))
    np.testing.assert_array_equal(linked.apply(params, x), np.full((2, 1), 4.0))


def test_batch_norm_takes_out_the_scale_of_the_inputs():
    model = network((3, 8, 1), batch_norm=True, input_norm=True)
    params = model.init(KEY)
    x = jax.random.normal(KEY, (50, 3))
    np.testing.assert_allclose(
        model.apply(params, x), model.apply(params, 1000 * x + 7), rtol=1e-2, atol=1e-3
    )


def test_torch_initialisation_is_uniform_within_its_bound():
    layer = network((400, 300), initializer="torch").init(KEY)["linears"][0]
    for part in ("kernel", "bias"):
        assert float(jnp.abs(layer[part]).max()) <= 1 / 20
        assert float(layer[part].std()) == pytest.approx(1 / 20 / np.sqrt(3), rel=0.1)


def test_batches_are_rows_of_the_data_and_the_objective_is_over_all():
    problem = supervised(wine(), network((13, 3)), cross_entropy, batch_size=16)
    data = problem.data(KEY, **problem.hyperparameters)
    inputs, targets = problem.batch(KEY, jnp.int32(0), data, **problem.hyperparameters)
    assert inputs.shape == (16, 13)
    known = {(*map(float, x), int(y)) for x, y in zip(data.inputs, data.targets, strict=True)}
    assert {(*map(float, x), int(y)) for x, y in zip(inputs, targets, strict=True)} <= known
    params = problem.init(KEY, **problem.hyperparameters)
    whole = problem.loss(params, (data.inputs, data.targets), **problem.hyperparameters)
    assert float(problem.objective(params, data, **problem.hyperparameters)) == float(whole)


def test_gain_multiplies_the_matrices_alone():
    problem = supervised(wine(), network((13, 4, 3), initializer="torch"), cross_entropy)
    once, twice = (problem.init(KEY, gain=g)["linears"][0] for g in (1.0, 2.0))
    np.testing.assert_allclose(twice["kernel"], 2 * once["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(twice["bias"], once["bias"])


def test_penalties_and_noise_are_in_the_loss_and_not_in_the_objective():
    plain = supervised(linear_data(), network((10, 1)), squared_error)
    both = with_input_noise(penalized(plain))
    data = both.data(KEY, **both.hyperparameters)
    params = both.init(KEY, **both.hyperparameters)
    values = {**both.hyperparameters, "l1": 0.1, "l2": 0.2, "input_noise": 0.5}
    batch = both.batch(KEY, jnp.int32(0), data, **values)
    assert float((batch[0] - data.inputs).std()) == pytest.approx(0.5, rel=0.1)
    kernel = params["linears"][0]["kernel"]
    penalty = 0.1 * jnp.abs(kernel).sum() + 0.2 * (kernel**2).sum()
    bare = plain.loss(params, batch, gain=1.0)
    np.testing.assert_allclose(both.loss(params, batch, **values), bare + penalty, rtol=1e-5)
    np.testing.assert_array_equal(
        both.objective(params, data, **values), plain.objective(params, data, gain=1.0)
    )


def test_huber_is_the_square_near_and_linear_far():
    found = huber(jnp.array([[0.5], [10.0]]), jnp.zeros((2, 1)))
    np.testing.assert_allclose(found, (0.125 + 9.5) / 2)


@pytest.mark.parametrize("loss", [squared_error, huber])
@pytest.mark.parametrize("shape", [(4,), (4, 2), (1, 1)])
def test_losses_of_a_regression_do_not_broadcast(loss, shape):
    with pytest.raises(ValueError, match=r"outputs has shape \(4, 1\) and targets \("):
        jax.eval_shape(loss, jnp.ones((4, 1)), jnp.ones(shape))


def test_inputs_of_classes_can_have_outliers_and_their_labels_stay():
    clean, data = wine().draw(KEY), with_outliers(wine(), "inputs").draw(KEY, outliers=0.5)
    np.testing.assert_array_equal(data.targets, clean.targets)
    assert (data.inputs != clean.inputs).any()


def _tokens(key):
    rows = jax.random.randint(key, (40, 6), 0, 9)
    return Data(rows, rows[:, 0] % 2, rows[:8], rows[:8, 0] % 2)


def test_a_users_source_model_and_loss_go_by_what_they_draw_and_make():
    """Integer inputs, and one logit for two classes, which is that loss's own affair."""
    source = mislabelled(few(Source("tokens", _tokens, 6, 2), 20))
    model = Model(lambda key: jax.random.normal(key, (9, 1)), lambda p, rows: p[rows].mean(axis=1))

    def logistic(outputs, targets):
        return jnp.logaddexp(0, jnp.where(targets == 1, -outputs[:, 0], outputs[:, 0])).mean()

    problem = supervised(source, model, logistic)
    data = problem.data(KEY, **problem.hyperparameters)
    params = problem.init(KEY, **problem.hyperparameters)
    assert np.isfinite(problem.objective(params, data, **problem.hyperparameters))


def test_building_a_problem_leaves_jax_unstarted():
    code = (
        "import os, jax\n"
        "from adamlab.problems import *\n"
        "from adamlab.sweeps.devices import use_all_cores\n"
        "source = mislabelled(standardized(few(wine(), 50)))\n"
        "penalized(with_input_noise(supervised(source, network((13, 3)), cross_entropy)))\n"
        "use_all_cores()\n"
        "assert jax.device_count() == max(len(os.sched_getaffinity(0)), 2)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _first_loss(problem):
    data = () if problem.data is None else (problem.data(KEY, **problem.hyperparameters),)
    params = problem.init(KEY, **problem.hyperparameters)
    batch = problem.batch(KEY, jnp.int32(0), *data, **problem.hyperparameters)
    return problem.loss(params, batch, **problem.hyperparameters)


LINEAR = supervised(linear_data(), network((10, 1)), squared_error)


def _normed():
    """A Flax module with running statistics, as a model."""
    net = linen.Sequential([linen.Dense(3), linen.BatchNorm(use_running_average=True)])
    return problems.Model(lambda key: net.init(key, jnp.zeros((1, 13))), net.apply)


WRONG = {
    "one width": (lambda: network((3,)), "widths=(3,)"),
    "width": (lambda: network((3, 0)), "widths=0: must be"),
    "activation": (lambda: network((3, 1), activation="rulu"), "did you mean 'relu'"),
    "function": (lambda: network((3, 1), activation=jnp.tanh), "unknown; known: "),
    "rows": (lambda: few(wine(), 0), "rows=0"),
    "pixels": (lambda: digits(1), "pixels=1"),
    "batch": (lambda: supervised(wine(), network((13, 3)), cross_entropy, batch_size=0), "batch_s"),
    "kind": (lambda: with_outliers(linear_data(), "target"), "did you mean 'targets'"),
    "no objective": (lambda: penalized(al.quadratic()), "problem='quadratic': needs an objective"),
    "running statistics": (
        lambda: supervised(wine(), _normed(), cross_entropy),
        "model: its init gives 'batch_stats' beside 'params', which would be trained",
    ),
    "no batches": (lambda: with_input_noise(al.quadratic()), "has no batches"),
    "more rows": (lambda: few(wine(), 143), "rows=143: must be <= 142, the train rows of 'wine'"),
    "wrong labels": (
        lambda: mislabelled(rescaled(diabetes())),
        "source='diabetes, rescaled': must be of classes, not have float32 targets",
    ),
    "imbalance": (lambda: imbalanced(diabetes()), "source='diabetes': must be of classes"),
    "outliers": (
        lambda: with_outliers(wine()),
        "source='wine': must be a regression, not have int32 targets",
    ),
    "outputs": (
        lambda: supervised(wine(), network((13, 2)), cross_entropy),
        "model makes outputs of shape (142, 2) from source='wine': must end in 3, its classes",
    ),
    "outputs of a regression": (
        lambda: supervised(diabetes(), network((10, 2)), huber),
        "loss does not take the model's outputs for source='diabetes': outputs has shape (353, 2)",
    ),
    "a class for a number": (
        lambda: supervised(diabetes(), network((10, 1)), cross_entropy),
        "loss does not take the model's outputs for source='diabetes': ",
    ),
    "inputs": (
        lambda: supervised(wine(), network((12, 3)), cross_entropy),
        "model does not take the inputs of source='wine': dot_general",
    ),
    "no matrices": (
        lambda: _first_loss(penalized(noisy_quadratic())),
        "problem='noisy-quadratic': has no matrices to penalize",
    ),
    "no pair": (
        lambda: _first_loss(with_input_noise(noisy_quadratic(2))),
        "problem='noisy-quadratic(dimension=2)': a batch must be a pair of inputs and targets",
    ),
    "l1 of its own": (
        lambda: penalized(dictionary_learning()),
        "problem='dictionary-learning': has a hyperparameter 'l1' already",
    ),
    "penalized twice": (
        lambda: penalized(penalized(LINEAR)),
        "penalized': has a hyperparameter 'l1' already",
    ),
    "noise twice": (
        lambda: with_input_noise(with_input_noise(LINEAR)),
        "input noise': has a hyperparameter 'input_noise' already",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_named(what):
    build, message = WRONG[what]
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build()
    assert message in str(error.value)


MISTAKEN = {
    "source": (lambda: supervised(wine, network((13, 3)), cross_entropy), "must be a Source"),
    "source to cut": (lambda: few("wine", 9), "source='wine': must be a Source, such as wine()"),
    "model": (lambda: supervised(wine(), (13, 3), cross_entropy), "model=(13, 3): must be a Model"),
    "loss": (
        lambda: supervised(wine(), network((13, 3)), "cross_entropy"),
        "loss='cross_entropy': must be a function, such as cross_entropy",
    ),
}


@pytest.mark.parametrize("what", MISTAKEN)
def test_what_is_of_another_type_is_named(what):
    build, message = MISTAKEN[what]
    with pytest.raises(TypeError) as error:
        build()
    assert message in str(error.value)


def test_every_public_name_is_documented():
    for name in problems.__all__:
        thing = getattr(problems, name)
        assert not callable(thing) or thing.__doc__, name


def test_a_users_own_numpy_arrays_are_trained_on():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    y = (x[:, 0] > 0).astype(np.int64)
    mine = Source("mine", lambda key: Data(x[:40], y[:40], x[40:], y[40:]), 4, 2)
    for batch_size in (None, 8):
        problem = supervised(mine, network((4, 8, 2)), cross_entropy, batch_size=batch_size)
        found = al.convergence_map(problem, al.adam, {"learning_rate": [0.03]}, steps=60)
        assert found["test_accuracy"].item() > 0.7


def test_a_single_logit_is_above_zero_for_class_one():
    x = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)

    def mean(outputs, targets):
        return optax.sigmoid_binary_cross_entropy(outputs.reshape(targets.shape), targets).mean()

    for shape, outputs in (((-1,), 2), ((-1, 1), 2), ((-1, 1), 1)):
        problem = supervised(_mine(x, y.reshape(shape), outputs), network((5, 16, 1)), mean)
        found = al.convergence_map(problem, al.adam, {"learning_rate": [0.1]}, steps=60)
        assert found["train_accuracy"].item() > 0.95
        assert found["test_accuracy"].item() > 0.8


def test_outputs_that_are_no_logits_have_no_accuracy():
    x, y = _images(dtype=np.float32)
    one_hot = np.eye(2, dtype=np.int32)[y]

    def mean(outputs, targets):
        return optax.softmax_cross_entropy(outputs, targets.astype(outputs.dtype)).mean()

    problem = supervised(_mine(x, one_hot, 3), network((4, 2)), mean)
    found = al.convergence_map(problem, al.adam, {"learning_rate": [0.1]}, steps=8)
    assert "test_loss" in found
    assert "test_accuracy" not in found


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_parameters_have_metrics_in_float32(dtype):
    whole = network((13, 3))

    def init(key):
        return jax.tree.map(lambda p: p.astype(dtype), whole.init(key))

    for source in (wine(), standardized(wine())):
        narrow = Model(init, lambda params, x: whole.apply(params, x.astype(dtype)))
        problem = supervised(source, narrow, cross_entropy)
        found = al.convergence_map(problem, al.adam, {"learning_rate": [1e-3]}, steps=8)
        for name in ("test_accuracy", "train_accuracy", "weight_norm"):
            assert found[name].dtype == np.float32
            assert np.isfinite(found[name]).all()


def test_the_objective_of_a_narrow_model_is_not_rounded():
    """bfloat16 has steps of 1/256 near 1: a loss that falls slowly would seem to rest."""
    base = network((13, 3))
    model = Model(
        lambda key: jax.tree.map(lambda a: a.astype(jnp.bfloat16), base.init(key)),
        lambda params, x: base.apply(params, x.astype(jnp.bfloat16)),
    )
    problem = supervised(standardized(wine()), model, cross_entropy)
    values = problem.hyperparameters
    with jax.numpy_dtype_promotion("standard"):
        data, params = (part(KEY, **values) for part in (problem.data, problem.init))
        loss = problem.objective(params, data, **values)
    assert loss.dtype == jnp.float32
    assert float(loss) != float(loss.astype(jnp.bfloat16))


@pytest.mark.parametrize("half", ["inputs", "test_inputs"])
def test_a_half_without_rows_is_refused(half):
    x, y = np.ones((60, 4), np.float32), np.zeros(60, np.int32)
    none = {half: x[:0], half.replace("inputs", "targets"): y[:0]}
    empty = Source("empty", lambda key: Data(x, y, x, y)._replace(**none), 4, 2)
    with pytest.raises(ValueError, match=rf"'empty': {half} have shape \(0, 4\): must have rows"):
        supervised(empty, network((4, 2)), cross_entropy)


BAD_DATA = {
    "a gap": (lambda x, y: (np.where(x == x[3, 2], np.nan, x), y), "inputs hold nan in row 3"),
    "a narrow gap": (
        lambda x, y: (np.where(x == x[3, 2], np.nan, x).astype(jnp.bfloat16), y),
        "inputs hold nan in row 3",
    ),
    "words": (lambda x, y: (x, y.astype(str)), "targets are <U11 values: must be an array of num"),
    "a list": (lambda x, y: (x, y.tolist()), "targets are a list: must be an array of numbers"),
    "counts": (lambda x, y: (x, 7 * y), "regress on must be floats"),
    "other features": (lambda x, y: (x[:, :3], y), "inputs have 3 features, but features=4"),
    "milliseconds": (
        lambda x, y: (x.astype(np.int64) + 1_700_000_000_000, y),
        r"inputs hold 1700000000\d+, which JAX would wrap: must be within int32",
    ),
    "beyond float32": (
        lambda x, y: (np.where(x == x[3, 2], 1e39, x.astype(float)), y),
        r"inputs hold 1e\+39, which float32 cannot hold; rescale them",
    ),
    "too small for float32": (
        lambda x, y: (np.c_[x[:, :3], 1e-200 * x[:, 3].astype(float)], y),
        "column 3 of inputs varies by",
    ),
    "far from 0": (
        lambda x, y: (np.c_[x[:, :3], 1e8 + np.arange(60) % 2], y),
        r"column 3 of inputs varies by 0\.5 about 1e\+08, which float32 cannot tell apart",
    ),
    "far numbers to regress on": (
        lambda x, y: (x, 1e8 + x[:, :1].astype(float) / 200),
        r"column 0 of targets varies by 0\.\d+ about 1e\+08, which float32",
    ),
    "far whole numbers": (
        lambda x, y: (x.astype(np.int32) // 9 + 2_000_000_000, y), r"column 0 of inputs varies by",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_cannot_be_learnt_from_are_refused(name):
    change, message = BAD_DATA[name]
    x, y = change(*_images(dtype=np.float32))
    mine = Source("mine", lambda key: Data(x[:40], y[:40], x[40:], y[40:]), 4, 2)
    for source in (mine, standardized(mine)):
        with pytest.raises((ValueError, TypeError), match=message):
            supervised(source, network((x.shape[1], 2)), cross_entropy)
    with pytest.raises(TypeError, match="outputs='2': must be a whole number"):
        Source("mine", lambda key: Data(x, y, x, y), 4, "2")


def test_targets_may_have_gaps_for_a_loss_that_leaves_them_out():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = x[:, :2].copy()
    y[::5, 0] = np.nan

    def loss(outputs, targets):
        return jnp.nanmean((outputs - targets) ** 2)

    problem = supervised(_mine(x, y), network((3, 2)), loss)
    found = al.convergence_map(problem, al.adam, {"learning_rate": [0.1]}, steps=40)
    assert found["late_loss"].item() < found["initial_loss"].item()


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_hyperparameter_of_the_data_out_of_range_is_refused(value):
    rare = supervised(imbalanced(wine()), network((13, 3)), cross_entropy)
    with pytest.raises(ValueError, match=r"imbalance=.*: must be a finite number > 0"):
        al.convergence_map(rare, al.adam, {"imbalance": [1.0, value], "learning_rate": [0.1]})
    with pytest.raises(ValueError, match=r"imbalance=.*: must be a finite number > 0"):
        al.convergence_map(rare, al.adam, {"learning_rate": [0.1]}, fixed={"imbalance": value})


def _images(rows=60, dtype=np.uint8):
    x = np.random.default_rng(0).integers(0, 200, size=(rows, 4)).astype(dtype)
    return x, (x[:, 0] > 100).astype(np.int32)


def _mine(x, y, outputs=2):
    return Source("mine", lambda key: Data(x[:40], y[:40], x[40:], y[40:]), x.shape[1], outputs)


SPOILED = {
    "rescaled": (rescaled, {"feature_scale": 1 / 255, "feature_ratio": 9.0}),
    "standardized": (standardized, {}),
    "outliers": (lambda s: with_outliers(s, "inputs"), {"outliers": 0.5}),
    "imbalanced": (imbalanced, {"imbalance": 5.0}),
    "mislabelled": (mislabelled, {"label_noise": 0.3}),
    "few": (lambda s: few(s, 7), {}),
}


@pytest.mark.parametrize("name", SPOILED)
def test_whole_numbers_are_spoiled_as_floats_are(name):
    spoil, values = SPOILED[name]
    whole = spoil(_mine(*_images())).draw(KEY, **values)
    floats = spoil(_mine(*_images(dtype=np.float32))).draw(KEY, **values)
    for one, other in zip(whole, floats, strict=True):
        np.testing.assert_array_equal(one, other)


def test_numpys_arrays_are_spoiled_in_a_map():
    source, values = _mine(*_images()), {}
    for spoil, own in SPOILED.values():
        source, values = spoil(source), values | own
    problem = with_input_noise(supervised(source, network((4, 2)), cross_entropy, batch_size=8))
    axes = {"learning_rate": [0.1], "input_noise": [0.0, 0.1]}
    found = al.convergence_map(problem, al.adam, axes, fixed=values, steps=8)
    assert np.isfinite(found["final_loss"]).all()
    assert found["final_loss"][0, 0] != found["final_loss"][0, 1]


@pytest.mark.parametrize("value", [0.3, 123.456, 1e6, 3e9])
def test_a_feature_without_variance_is_only_shifted(value):
    x = np.full((60, 1), value, np.float32)
    x[40:] *= 2
    data = standardized(_mine(x, np.zeros(60, np.int32))).draw(KEY)
    np.testing.assert_array_equal(data.inputs, 0)
    np.testing.assert_array_equal(data.test_inputs, x[40:] / 2)


def test_float64s_own_rounding_of_a_constant_is_no_variation():
    x = 0.1 + np.linspace(0, 1e-15, 60)[:, None]
    assert (standardized(_mine(x, np.zeros(60, np.int32))).rows(KEY).inputs == 0).all()


ODD_ROWS = {
    "a class too many": ((lambda x, y: (x, y + 1)), r"targets hold the class 2: must be 0 to 1"),
    "a class below 0": ((lambda x, y: (x, 2 * y - 1)), r"targets hold the class -1: must be 0"),
    "too few targets": ((lambda x, y: (x, y[:50])), r"test_inputs have .*\(20, 4\), .*\(10,\)"),
    "too few inputs": ((lambda x, y: (x[:30], y)), r"inputs have .*\(30, 4\), targets \(40,\)"),
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_rows_that_do_not_fit_are_named(name):
    change, message = ODD_ROWS[name]
    with pytest.raises(ValueError, match=message):
        supervised(_mine(*change(*_images())), network((4, 2)), cross_entropy)


def test_test_rows_unlike_the_train_rows_are_named():
    x, y = _images()
    mine = Source("mine", lambda key: Data(x[:40], y[:40], x[40:, :, None], y[40:]), 4, 2)
    with pytest.raises(ValueError, match="test rows of source='mine' are not like its train rows"):
        supervised(mine, network((4, 2)), cross_entropy)


# What is drawn, and from what -------------------------------------------------------------------


def test_input_noise_is_drawn_apart_from_the_batch():
    drawn = al.Problem(
        "drawn", init=lambda key: jnp.zeros(3),
        loss=lambda w, batch: ((batch[0] @ w - batch[1]) ** 2).mean(),
        batch=lambda key, step: (jax.random.normal(key, (50, 3)), jnp.zeros(50)),
    )  # fmt: skip
    clean, _ = drawn.batch(KEY, 0)
    noisy, _ = with_input_noise(drawn).batch(KEY, 0, input_noise=1.0)
    assert abs(np.corrcoef((noisy - clean).ravel(), clean.ravel())[0, 1]) < 0.5


def test_a_wrong_label_may_be_any_other():
    truth = digits().draw(KEY).targets
    wrong = mislabelled(digits()).draw(KEY, label_noise=1.0).targets
    assert len(np.unique((wrong - truth) % 10)) == 9


@pytest.mark.parametrize("kind", ["targets", "inputs"])
def test_outliers_lie_on_both_sides_ten_deviations_wide(kind):
    clean = linear_data(1000).draw(KEY)
    data = with_outliers(linear_data(1000), kind).draw(KEY, outliers=0.5)
    off = np.asarray(getattr(data, kind) - getattr(clean, kind)).reshape(1000, -1)
    off = off[off.any(1)]
    assert 0.3 < (off > 0).mean() < 0.7
    if kind == "inputs":
        np.testing.assert_allclose(off.std(0) / clean.inputs.std(0), 10, rtol=0.15)


def test_the_objective_is_of_the_rows_observed():
    problem = supervised(wine(), network((13, 3)), cross_entropy, observed=10)
    data = problem.data(KEY, **problem.hyperparameters)
    params = problem.init(KEY, **problem.hyperparameters)
    ten = problem.loss(params, (data.inputs[:10], data.targets[:10]))
    np.testing.assert_allclose(
        problem.objective(params, data, **problem.hyperparameters), ten, rtol=1e-6
    )


def test_accuracies_and_the_weights_norm_are_what_they_are_called():
    problem = supervised(wine(), network((13, 3), initializer="torch"), cross_entropy)
    data = problem.data(KEY, **problem.hyperparameters)
    params = problem.init(KEY, **problem.hyperparameters)
    seen, layer = problem.metrics(params, data, **problem.hyperparameters), params["linears"][0]
    assert (layer["bias"] != 0).all()
    for part, x, y in (
        ("train", data.inputs, data.targets), ("test", data.test_inputs, data.test_targets)
    ):  # fmt: skip
        right = (x @ layer["kernel"] + layer["bias"][None]).argmax(-1) == y
        np.testing.assert_allclose(seen[f"{part}_accuracy"], right.mean(), rtol=1e-6)
    norm = jnp.linalg.norm(layer["kernel"])  # the biases left out
    np.testing.assert_allclose(seen["weight_norm"], norm, rtol=1e-6)


def test_a_penalty_leaves_the_biases_alone():
    plain = supervised(linear_data(), network((10, 1), initializer="torch"), squared_error)
    both = penalized(plain)
    data = both.data(KEY, **both.hyperparameters)
    params = both.init(KEY, **both.hyperparameters)
    kernel, batch = params["linears"][0]["kernel"], (data.inputs, data.targets)
    assert (params["linears"][0]["bias"] != 0).all()
    found = both.loss(params, batch, **{**both.hyperparameters, "l1": 0.1, "l2": 0.2})
    without = plain.loss(params, batch, gain=1.0)
    penalty = 0.1 * abs(kernel).sum() + 0.2 * (kernel**2).sum()
    np.testing.assert_allclose(found, without + penalty, rtol=1e-5)


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [("lecun_normal", 1 / 400), ("he_normal", 2 / 400), ("glorot_uniform", 2 / 700)],
)
def test_an_initializer_has_its_variance(initializer, variance):
    params = network((400, 300), initializer=initializer).init(KEY)
    np.testing.assert_allclose(params["linears"][0]["kernel"].var(), variance, rtol=0.05)
