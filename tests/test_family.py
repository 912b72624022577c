"""The stages of the family: what they refuse, and where the numbers are extreme."""

from __future__ import annotations

import inspect
import pickle
import re
import typing
from contextlib import nullcontext
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from subjects import SUBJECTS

import adamlab as al
from adamlab import optimizers as opt
from adamlab import stages as st
from adamlab._checks import check_number, named
from adamlab.compat import keras, torch
from adamlab.compat import optax as optax_forms
from adamlab.optimizers._signature import is_decay_rate, takes_schedules
from adamlab.stages.norms import norm
from adamlab.stages.numerics import after

pytestmark = pytest.mark.rounding

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
GRADS = {"w": jnp.full((2, 3), 0.1), "b": jnp.full(3, -0.1)}


def _update(tx, grads=GRADS, params=PARAMS, **extra):
    return optax.with_extra_args_support(tx).update(grads, tx.init(params), params, **extra)[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([3e19, 4e19], [0.6, 0.8]),
        ([3e38, -3e38], [0.5**0.5, -(0.5**0.5)]),
        ([3e-30, 4e-30], [3e-30, 4e-30]),
        ([np.inf, 1.0, -np.inf], [0.5**0.5, 0.0, -(0.5**0.5)]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([np.nan, 1.0], [np.nan, np.nan]),
    ],
)
def test_the_global_norm_is_clipped_at_any_magnitude(given, expected):
    grads = jnp.asarray(given, jnp.float32)
    clipped, _ = al.clip_by_global_norm(1.0).update(grads, optax.EmptyState())
    np.testing.assert_allclose(clipped, expected, rtol=1e-6)


def test_a_leafs_norm_is_finite_at_any_magnitude():
    most = np.finfo(np.float32).max ** 0.5
    for value, expected in [(3e38, most), (1e15, 2**0.5 * 1e15), (0.0, 0.0)]:
        length, slope = jax.value_and_grad(norm)(jnp.full(2, value, jnp.float32))[:2]
        np.testing.assert_allclose(length, expected, rtol=1e-6)
        assert jnp.isfinite(slope).all()
    assert jnp.isnan(norm(jnp.asarray([np.nan, 1.0], jnp.float32)))


@pytest.mark.parametrize("value", [3e38, 1e25, 1.0, 1e-25])
@pytest.mark.parametrize("most", [1e-3, 1.0])
def test_a_blocks_rms_is_clipped_at_any_magnitude(value, most):
    u = jnp.asarray([value, -value, 0, 0], jnp.float32)
    clipped, _ = st.clip_by_block_rms(most).update(u, optax.EmptyState())
    share = min(1.0, most * 2**0.5 / value)
    np.testing.assert_allclose(clipped, np.asarray(u, np.float64) * share, rtol=1e-6)


@pytest.mark.parametrize("value", [1e32, 1e20, 1.0, 1e-20, 1e-32])
def test_a_trust_ratio_is_known_at_any_magnitude_of_the_direction(value):
    u, p = jnp.asarray([3 * value, -4 * value], jnp.float32), jnp.asarray([0.0, 2.0])
    scaled, _ = st.scale_by_trust_ratio().update(u, optax.EmptyState(), p)
    np.testing.assert_allclose(scaled, [1.2, -1.6], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_factors_of_a_narrow_direction_are_not_narrow(dtype):
    """A ratio that float16 would round to 0 or to infinity, the product being within its range."""
    state = optax.EmptyState()
    clipped, _ = st.clip_by_block_rms(1e-3).update(jnp.full(2, 100, dtype), state)
    scaled, _ = st.scale_by_trust_ratio().update(jnp.full(2, 1e-6, dtype), state, jnp.ones(2))
    for found, expected in [(clipped, 1e-3), (scaled, 1.0)]:
        assert found.dtype == dtype
        np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=1e-2)
    large, _ = st.scale_by_param_block_rms().update(
        jnp.full(2, 1e-4, dtype), state, jnp.full(2, 1e5, jnp.float32)
    )
    np.testing.assert_allclose(large.astype(jnp.float32), 10, rtol=1e-2)


def _compiled_step(tx, params):
    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    with jax.numpy_dtype_promotion("standard"):
        program = jax.jit(step, donate_argnums=(0, 1))
        return program.lower(params, tx.init(params), params).compile()


@pytest.mark.parametrize("name", ["adafactor", "lamb"])
def test_a_leafs_norm_costs_no_copy(name):
    """Fewer bytes accessed than Optax's by XLA's count; one pass over a leaf more, and it shows."""
    params = jnp.ones((256, 256))
    ours, theirs = (
        _compiled_step(tx, params).cost_analysis()["bytes accessed"] / params.size
        for tx in (getattr(opt, name)(1e-3), getattr(optax, name)(1e-3))
    )
    assert ours < theirs - 8


@pytest.mark.parametrize(
    ("name", "copies"),
    [
        ("adopt", 0), ("mars", 0), ("acprop", 1), ("adan", 1), ("ano", 0), ("prodigy", 0),
        ("dadapt_adam", 1), ("schedule_free_adamw", 1), ("adamod", 2),
    ],
)  # fmt: skip
def test_what_is_read_as_it_was_is_not_copied(name, copies):
    """Arrays beside the step's own by XLA's count; adamod shows that it counts."""
    params = jnp.ones((256, 256))
    beside = _compiled_step(opt.example(name, 1e-3), params).memory_analysis().temp_size_in_bytes
    assert round(beside / params.nbytes, 1) == copies


@pytest.mark.parametrize("read", [jnp.inf, -jnp.inf, jnp.nan, 3e38, 1 + 1j, jnp.inf * 1j])
def test_an_order_changes_no_value_and_no_slope(read):
    new = jnp.array([-jnp.inf, 0.0, 2.0])
    with jax.numpy_dtype_promotion("strict"):
        np.testing.assert_array_equal(after(new, jnp.full(3, read)), new)
        slope = jax.grad(lambda a: after(a[1:], jnp.full(2, read)).sum())(new)
    np.testing.assert_array_equal(slope, [0, 1, 1])


def test_a_lagging_field_that_no_state_has_is_refused():
    tx = st.GradientToGradient.from_update(
        "mine", optax.init_empty_state, lambda g, s, **_: (g, s), lagging=("previous",)
    )
    with pytest.raises(ValueError, match=r"lagging=\('previous',\): must be of mine's state's"):
        tx.init(PARAMS)


def test_gradients_of_another_form_are_refused():
    tx = al.adam(1e-3)
    with pytest.raises(ValueError, match=r"the gradients' tree is .*they must be the same"):
        _update(tx, {"w": GRADS["w"]})
    with pytest.raises(ValueError, match=r"gradient at \['b'\] has shape \(\), the parameter \(3,"):
        _update(tx, {**GRADS, "b": jnp.float32(1)})


def test_gradients_of_other_parameters_are_named_though_no_parameters_are_given():
    tx = al.adam(1e-3)
    state = tx.init(PARAMS)
    for shape in [(1, 3), (2, 1)]:
        with pytest.raises(ValueError, match=r"gradient at \['w'\] has shape .*, the update made"):
            tx.update({**GRADS, "w": jnp.ones(shape)}, state)


def test_extra_arguments_are_trees_like_the_gradients():
    sophia = opt.sophia(1e-3, every=1)
    for tx, name in [(sophia, "hessian_diag"), (opt.mars(1e-3), "previous_grad")]:
        with pytest.raises(ValueError, match=rf"{name}=.*: must be a tree of the gradients' shap"):
            _update(tx, **{name: {**GRADS, "w": jnp.ones((1, 3))}})
        with pytest.raises(TypeError, match=rf"the leaf of {name} at \['b'\] is int32: must be"):
            _update(tx, **{name: {**GRADS, "b": jnp.ones(3, int)}})
    infinite = jax.tree.map(lambda g: np.full(g.shape, np.inf), GRADS)  # NumPy's, in float64
    update = _update(sophia, hessian_diag=infinite)
    assert all(jnp.isfinite(u).all() for u in jax.tree.leaves(update))


def test_what_a_missing_argument_says_comes_from_another_process_too():
    with pytest.raises(st.MissingArgumentError) as found:
        _update(opt.sophia(1e-3))
    back = pickle.loads(pickle.dumps(found.value))
    assert (str(back), back.name) == (str(found.value), "hessian_diag")


def test_a_missing_extra_argument_is_named():
    with pytest.raises(ValueError, match=r"track_curvature needs hessian_diag; pass it to update"):
        _update(opt.sophia(1e-3))
    alone = st.add_stable_decay(0.1)
    with pytest.raises(ValueError, match=r"add_stable_decay needs the moments .* same adamlab.cha"):
        alone.update(GRADS, alone.init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match=r"params=None: add_cautious_decay needs the parameters"):
        st.add_cautious_decay(0.1).update(GRADS, optax.EmptyState())


def test_missing_moments_are_named():
    for stage, lacks in [
        (st.nesterov(0.9), "nesterov needs the first moment; give track_moments a b1"),
        (st.apply_rate(), r"apply_rate needs rates; put to_rate\(\) before it"),
    ]:
        tail = [] if stage.gives == "direction" else [st.precondition()]
        tx = al.chain(st.track_moments(None, 0.99), stage, *tail)
        with pytest.raises(ValueError, match=lacks):
            _update(tx)
    with pytest.raises(ValueError, match="nesterov needs an uncorrected first moment"):
        _update(al.chain(
            st.track_moments(), st.nesterov(0.9), st.nesterov(0.9), st.precondition()))  # fmt: skip
    with pytest.raises(ValueError, match=r"deviations\(\) needs the first moment"):
        _update(al.chain(st.track_moments(None, st.deviations(0.9)), st.precondition()))
    with pytest.raises(ValueError, match=r"per_axis keeps parts of nu, .* use squares\(\), yogi"):
        st.previous(st.per_axis())


BAD = [
    (lambda: st.scale_by_prodigy(b3=1.0), r"b3=1: must be a number in \[0, 1\)"),
    (
        lambda: st.add_gradient_difference(0.5, max_norm=0.0),
        "max_norm=0: must be a finite number > 0",
    ),
    (lambda: opt.madgrad(-1.0), "learning_rate=-1: must be a finite number >= 0"),
    (lambda: opt.mars(1e-3, b1=1.0), "b1=1: must be a number in"),
    (lambda: opt.schedule_free_adamw(1e-3, b1=0.0), "b1=0: must be a number in"),
    (lambda: opt.adafactor(1e-3, decay_rate=-0.8), "decay_rate=-0.8: must be a finite number > 0"),
    (lambda: opt.adamw_independent(1e-3, peak=0.0), "peak=0: must be a finite number > 0"),
    (lambda: keras.sgd(momentum=0.9, weight_decay=0.1), "Keras keeps it out of the momentum"),
    (lambda: torch.adafactor(-1.0), "lr=-1: must be a finite number >= 0"),
    (lambda: st.track_curvature(st.previous(0.9)), "give previous.. a value for first"),
    (lambda: st.previous(0.9, first=-1.0), "first=-1: must be a finite number >= 0"),
    (lambda: opt.nadam(1e-3, b1=1.0), "b1=1: must be a number in"),
    (lambda: opt.radam(1e-3, threshold=4.0), "threshold=4: must be a finite number > 4"),
    (lambda: opt.adan(-1e-3), "learning_rate=-0.001: must be a finite number >= 0"),
    (lambda: opt.adan(1e-3, b3=1.5), "b3=1.5: must be a number in"),
    (lambda: opt.ademamix(1e-3, b3=-0.1), "b3=-0.1: must be a number in"),
    (lambda: opt.lion(1e-3, b2=0.0), r"b2=0: must be a number in \(0, 1\)"),
    (lambda: opt.adabound(1e-3, final_rate=0.0), "final_rate=0: must be a finite number > 0"),
    (lambda: opt.padam(1e-3, partial=0.7), r"partial=0.7: must be a number in \[0, 0.5\]"),
    (lambda: opt.adashift(1e-3, keep_num=0), "keep_num=0: must be a whole number >= 1"),
    (lambda: opt.sophia(1e-3, every=0), "every=0: must be a whole number >= 1"),
    (lambda: opt.adam_atan2(1e-3, a=0.0), "a=0: must be a finite number > 0"),
    (lambda: opt.came(1e-3, b3=1.0), "b3=1: must be a number in"),
    (lambda: opt.adamw_independent(lambda n: 1e-3), "peak=None: with a schedule, give the larg"),
    (lambda: st.lookahead(sync_period=0), "sync_period=0: must be a whole"),
    (lambda: st.lookahead(slow_step_size=1.5), "slow_step_size=1.5: must be a"),
    (lambda: opt.adafactor(1e-3, clip=-1.0), "clip=-1: must be a finite number > 0"),
    (lambda: opt.adamw_cautious_decay(1e-3, weight_decay=-1.0), "weight_decay=-1: must be a"),
    (lambda: opt.adan(1e-3, b3=al.OneMinus(1.5)), "1-b3=1.5: must be a number in"),
    (lambda: opt.sgd(1e-3, momentum=jnp.ones(2)), r"momentum has shape \(2,\): must be a number"),
    (lambda: opt.nadam_scheduled(1e-3, momentum_decay=-1), "momentum_decay=-1: must be a finite"),
    (lambda: opt.schedule_free_adamw(1e-3, weight_lr_power=-1), "weight_lr_power=-1: must be a"),
    (lambda: opt.stages_of("adamm"), "name='adamm': unknown; did you mean 'adam'"),
    (lambda: st.track_window(1.5), r"b1=1.5: must be a number in \[0, 1\]"),
    (lambda: torch.adafactor(eps=(-1.0, 1e-3)), r"eps\[0\]=-1: must be a finite number >= 0"),
]


@pytest.mark.parametrize(("build", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_hyperparameters_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


BUILDERS = {name: getattr(opt, name) for name in opt.names()} | {
    f"{library.__name__}.{name}": build
    for library in (torch, keras, optax_forms)
    for name, build in vars(library).items()
    if inspect.isfunction(build) and build.__module__ == library.__name__ and name[0] != "_"
}
NEEDED = {"learning_rate": 1e-3, "normalized": True, "key": jax.random.key(0), "peak": 1e-3}
NO_NUMBERS = {
    "mask", "axes", "reduce", "normalized", "key"
}  # fmt: skip


@pytest.mark.parametrize("name", BUILDERS)
def test_an_argument_that_is_no_number_is_named_as_the_caller_names_it(name):
    build = BUILDERS[name]
    parameters = inspect.signature(build).parameters
    given = {n: value for n, value in NEEDED.items() if n in parameters}
    for argument, parameter in parameters.items():
        if argument in NO_NUMBERS or isinstance(parameter.default, bool):
            continue
        for bad in (float("nan"), "x"):
            cases = {argument: bad}
            if isinstance(parameter.default, tuple):
                first, second = parameter.default
                cases = {f"{argument}[0]": (bad, second), f"{argument}[1]": (first, bad)}
            for label, value in cases.items():
                with pytest.raises((TypeError, ValueError), match=rf"^{re.escape(label)}={bad!r}:"):
                    build(**{**given, argument: value})


@pytest.mark.parametrize("name", BUILDERS)
def test_an_unknown_argument_is_told_the_nearest(name):
    build = BUILDERS[name]
    some = next(iter(inspect.signature(build).parameters))
    with pytest.raises(TypeError, match=rf"no such argument; did you mean '{some}'"):
        build(**{f"{some}x": 1.0})


def test_what_another_library_calls_an_argument_is_said():
    with pytest.raises(
        TypeError, match=r"^lr=0.1: adam has .* here it is learning_rate; adamlab.c"
    ):
        opt.adam(lr=0.1)
    with pytest.raises(TypeError, match=r"^betas=\(0.9, 0.99\): .* here it is b1 and b2;"):
        opt.adam(1e-3, betas=(0.9, 0.99))
    for build, given, words in (
        (torch.adam, {"learning_rate": 0.1}, "here it is lr "),
        (torch.adam, {"b1": 0.9}, "here it is betas "),
        (keras.adam, {"betas": (0.9, 0.99)}, "here it is beta_1 and beta_2 "),
        (keras.adam, {"clipnorm": 1.0}, "clip_by_global_norm"),
        (opt.adam, {"weight_decay": 0.1}, "optimizers.adamw"),
        (opt.adamw, {"amsgrad": True}, "optimizers.amsgrad"),
        (opt.sgd, {"betas": (0.9, 0.99)}, "sgd has no .*argument; known: "),
        (opt.adam, {"epps": 1e-8}, "did you mean 'eps'"),
        (opt.adam, {"mu_dtype": "bfloat16"}, "store_state"),
    ):
        with pytest.raises(TypeError, match=words):
            build(**given)


def _rates(build):
    parameters, hints = inspect.signature(build).parameters, typing.get_type_hints(build)
    return [n for n in parameters if hints[n] in (st.DecayRate, st.ConstantDecay)]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_decay_rates_type_says_what_it_takes(name):
    """Each takes a complement, and a schedule where its type does; none hides behind a number."""
    build = BUILDERS[name]
    parameters, hints = inspect.signature(build).parameters, typing.get_type_hints(build)
    given = {n: value for n, value in NEEDED.items() if n in parameters}
    called_so = {"b", "b1", "b2", "b3", "momentum", "dampening"} & set(parameters)
    for argument in called_so | {n for n in parameters if is_decay_rate(hints[n])}:
        if not is_decay_rate(hints[argument]):
            with pytest.raises(TypeError, match=rf"{argument}=OneMinus"):
                build(**given, **{argument: st.OneMinus(0.1)})
            continue
        build(**given, **{argument: st.OneMinus(0.1)})
        if takes_schedules(hints[argument]):
            build(**given, **{argument: lambda n: 0.9})
        else:
            with pytest.raises(TypeError, match=rf"^{argument}=<function .*, not a schedule"):
                build(**given, **{argument: lambda n: 0.9})


@pytest.mark.parametrize("betas", [(None, 0.999), (0.9, None)])
def test_neither_of_two_rates_is_left_out_by_none(betas):
    place = betas.index(None)
    with pytest.raises(TypeError, match=rf"^betas\[{place}\]=None: must be a number"):
        torch.adam(betas=betas)


@pytest.mark.parametrize("name", [name for name, build in BUILDERS.items() if _rates(build)])
def test_no_decay_rate_is_left_out_by_none(name):
    """Adam without a moment is another chain; some have an argument for which None is a choice."""
    build = BUILDERS[name]
    parameters = inspect.signature(build).parameters
    given = {n: value for n, value in NEEDED.items() if n in parameters}
    rates = _rates(build)
    for argument in rates:
        with pytest.raises(TypeError, match=rf"^{argument}=None: must be a number"):
            build(**{**given, argument: None})
    if rates[:1] == list(parameters)[1:2]:
        with pytest.raises(TypeError, match=rf"^{rates[0]}=None:"):
            build(1e-3, None)


@pytest.mark.parametrize(
    ("package", "name", "message"),
    [
        (st, "precondtion", "adamlab.stages has no 'precondtion': did you mean 'precondition'"),
        (torch, "Adam", "adamlab.compat.torch has no 'Adam': did you mean 'adam'"),
        (keras, "lambb", "adamlab.compat.keras has no 'lambb': did you mean 'lamb'"),
        (optax_forms, "prodgy", "adamlab.compat.optax has no 'prodgy': did you mean 'prodigy'"),
    ],
)
def test_a_name_close_to_one_that_there_is_is_said(package, name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(package, name)


def test_what_is_grouped_is_an_optimizer():
    for given in ("adam", opt.adam):
        with pytest.raises(TypeError, match=r"^optimizer=.*: must be a gradient transformation"):
            st.group_small_leaves(given)


RATES_BY_COMPLEMENT = {
    "came": ("b3", 1e-5),
    "simplified_ademamix": ("b1", 1e-4),
    "madgrad": ("momentum", 1e-4),
    "mars": ("b1", 1e-3),
}


@pytest.mark.parametrize("name", RATES_BY_COMPLEMENT)
def test_a_traced_complement_keeps_its_digits(name):
    """A traced OneMinus gives the updates of a constant one for 100 steps, within 4 ulp."""
    rate, complement = RATES_BY_COMPLEMENT[name]
    grads = jax.random.normal(jax.random.key(0), (100, 4, 2))

    def run(value):
        tx = getattr(opt, name)(1e-3, **{rate: st.OneMinus(value)})

        def step(carry, g):
            params, state = carry
            updates, state = tx.update(g, state, params)
            return (optax.apply_updates(params, updates), state), updates

        start = jnp.ones((4, 2))
        with jax.numpy_dtype_promotion("standard"):
            return jax.lax.scan(step, (start, tx.init(start)), grads)[1]

    constant, traced = jax.jit(lambda: run(complement))(), jax.jit(run)(jnp.float32(complement))
    apart = jnp.abs(constant - traced).max() / jnp.abs(constant).max()
    assert apart < 4 * jnp.finfo(jnp.float32).eps


@pytest.mark.parametrize("b2", [0.1, 0.4, 0.99])
def test_lion_without_momentum_rests_where_the_gradient_is_zero(b2):
    tx, params = opt.lion(1e-3, b1=0.0, b2=b2), jnp.ones(2)
    _, state = tx.update(jnp.array([1.0, -2.0]), tx.init(params), params)
    update, _ = tx.update(jnp.zeros(2), state, jnp.zeros(2))
    np.testing.assert_array_equal(update, 0.0)


@pytest.mark.parametrize("power", [-10, -15, -19, -22, -44])
def test_an_angle_has_a_slope_at_any_size(power):
    """That of `atan2(s, 2 s)` by its first argument, times s: 2/5."""
    small = jnp.float32(10.0**power)
    for cast in (jnp.float32, jnp.complex64):
        moments = st.Moments(
            {"w": small.astype(cast)}, jnp.int32(1),
            {"w": small.astype(cast)}, {"w": jnp.float32(4.0)},
        )  # fmt: skip

        def angle(factor, moments=moments):
            grown = jax.tree.map(lambda m: factor * m, moments.mu)
            tx = st.precondition_atan2(a=1.0, b=float(small))
            out, _ = tx.update(moments._replace(mu=grown), tx.init({"w": jnp.ones([])}))
            return jnp.real(out["w"])

        if small > 0:
            np.testing.assert_allclose(jax.grad(angle)(1.0), 0.4, rtol=1e-5)
        assert jnp.isfinite(jax.grad(angle)(1.0))


def test_only_a_checks_own_name_is_changed():
    with pytest.raises(ValueError, match=r"^b3=2: must be a number"), named(b2="b3"):
        check_number("b2", 2.0, low=0, high=1)
    with pytest.raises(ValueError, match=r"^b1=2: must be a number"), named(b2="b3"):
        check_number("b1", 2.0, low=0, high=1)
    with pytest.raises(ValueError, match=r"^b2 of another kind"), named(b2="b3"):
        raise ValueError("b2 of another kind")


@pytest.mark.parametrize("name", opt.names())
def test_wide_gradients_of_narrow_parameters_change_no_dtype(name, x64):
    tx = opt.example(name)
    for ours, theirs in ((jnp.float32, jnp.float64), (jnp.complex64, jnp.complex128)):
        params, grads = (jnp.ones((2, 2), dtype) for dtype in (ours, theirs))
        given = dict.fromkeys(st.extra_args_of(tx), grads)
        state = tx.init(params)
        update, after = jax.eval_shape(partial(tx.update, **given), grads, state, params)
        assert update.shape == params.shape
        before = jax.eval_shape(lambda state: state, state)
        assert jax.tree.leaves(after) == jax.tree.leaves(before)


def test_narrow_parameters_are_rounded_whatever_the_gradients(x64):
    params = jnp.ones(4, jnp.bfloat16)
    tx = opt.example("adamw_stochastic_rounding")
    update, _ = tx.update(jnp.ones(4, jnp.float64), tx.init(params), params)
    assert update.shape == (4,)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_huge_gradients_of_narrow_parameters_make_no_step_longer(dtype, x64):
    params = jnp.zeros(3, dtype)
    tx = al.adam(1.0)
    state = tx.init(params)
    for size in (1.0, 1e25, 1.0, jnp.inf, 1e300, 1.0):
        update, state = tx.update(jnp.full(3, size, jnp.float64), state, params)
        assert jnp.abs(update).max() <= 1.01


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_narrow_window_keeps_no_infinity(dtype):
    params, tx = jnp.zeros(2, jnp.float16), opt.adashift(1e-3)
    state = tx.init(params)
    for step in range(13):
        grads = jnp.full(2, 1e6 if step == 1 else 1.0, dtype)
        update, state = tx.update(grads, state, params)
        assert jnp.isfinite(update).all()


def test_a_state_that_changes_its_form_is_named():
    def stage(init, update):
        return st.GradientToGradient.from_update(
            "mine", lambda p: init, lambda g, s, **_: (g, update(s))
        )

    for init, update, said in [
        (jnp.zeros([], int), lambda s: s + 0.5, "dtype int32 became float32"),
        ({}, lambda s: {"previous": 1}, "mine: its state changes its form"),
    ]:
        tx = stage(init, update)
        with pytest.raises(TypeError, match=said):
            tx.update(GRADS, tx.init(PARAMS))
    counting = stage(jnp.zeros([], jnp.int32), lambda s: 3)
    assert counting.update(GRADS, counting.init(PARAMS))[1].dtype == jnp.int32


def test_a_scalar_loss_is_no_tree_of_small_leaves():
    by_value = st.GradientToGradient.from_update(
        "by_value", optax.init_empty_state,
        lambda g, s, *, value, **_: (jax.tree.map(lambda x: x * value, g), s),
        extra_args=("value",),
    )  # fmt: skip
    tx = st.group_small_leaves(al.chain(by_value, al.sgd(1.0)))
    update, _ = tx.update(jnp.ones([]), tx.init(jnp.ones([])), value=jnp.asarray(2.0))
    assert update == -2


def test_masked_gradients_say_how_extra_arguments_are_masked_too():
    tx = optax.masked(opt.sophia(1e-3), {"w": True, "b": False})
    with pytest.raises(ValueError, match="take mask_compatible_extra_args=True"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS, hessian_diag=GRADS)


@pytest.mark.parametrize(
    "build",
    [
        opt.adamw_8bit,
        lambda rate: st.store_state(opt.adam(rate), nu=jnp.bfloat16),
        lambda rate: st.store_state(opt.adam(rate), nu="float32"),
    ],
)
def test_narrow_averages_of_huge_gradients_make_no_step_longer(build, x64):
    params = jnp.zeros(4096)
    tx = build(1.0)
    state = tx.init(params)
    for size in (1.0, 1e25, 1.0, jnp.inf, 1.0):
        update, state = tx.update(jnp.full(4096, size), state, params)
        assert jnp.abs(update).max() <= 1.01


def test_infinity_counts_as_the_largest_float16_in_both_averages():
    params, tx = jnp.zeros(1, jnp.float16), al.adam(1e-2)
    ends = []
    for spike in (jnp.inf, 65504.0):
        state = tx.init(params)
        for size in (1.0, spike, 1.0):
            update, state = tx.update(jnp.full(1, size, jnp.float16), state, params)
        ends.append((float(update[0]), float(optax.tree.get(state, "nu")[0])))
    assert ends[0] == ends[1]
    assert ends[0][0] < 0


@pytest.mark.parametrize("name", ["adam", "adopt", "amsgrad", "lamb", "nadam"])
def test_meta_gradients_through_a_complex_zero_are_finite(name):
    def end(rate):
        tx = opt.example(name, rate)
        params = jnp.asarray([1.0 + 1j, -0.5], jnp.complex64)
        state = tx.init(params)
        for scale in (1.0, 0.0, 1.0):
            updates, state = tx.update(scale * params, state, params)
            params = optax.apply_updates(params, updates)
        return jnp.sum(jnp.abs(params) ** 2)

    with jax.debug_nans(True):
        assert jnp.isfinite(jax.jit(jax.grad(end))(0.1))


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_meta_gradients_through_a_warm_up_from_zero_are_finite(power):
    def end(rate):
        tx = opt.schedule_free_adamw(lambda n: rate * n, weight_lr_power=power)
        params = jnp.ones(2)
        state = tx.init(params)
        for _ in range(3):
            updates, state = tx.update(params, state, params)
            params = optax.apply_updates(params, updates)
        return params.sum()

    assert jnp.isfinite(jax.grad(end)(0.1))


@pytest.mark.parametrize(
    "name",
    ["adafactor", "adam", "adam_atan2", "adopt", "lamb", "madgrad", "radam", "schedule_free_adamw"],
)
def test_meta_gradients_are_the_slopes_of_the_training(name):
    """By the start and by every hyperparameter, against central differences of fourth order."""
    subject, steps = SUBJECTS[name], 6
    with jax.enable_x64(True):
        start, target, along = np.random.default_rng(0).normal(size=(3, 3, 4))

        def end(shifts):
            values = zip(subject.hyperparameters.items(), shifts[1:], strict=True)
            tx = subject.build(**{name: value * (1 + by) for (name, value), by in values})

            def step(carry, _):
                params, state = carry
                grads = {"w": params["w"] - target + jnp.sin(params["w"])}
                updates, state = subject.step(tx, grads, state, params)
                return (optax.apply_updates(params, updates), state), None

            params = {"w": start + shifts[0] * along}
            (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), length=steps)
            return jnp.sum((params["w"] - target) ** 2)

        here, near = np.zeros(1 + len(subject.hyperparameters)), 1e-4
        slopes = jax.jit(jax.grad(end))(here)
        beside = near * np.eye(len(here))[:, None] * np.array([[-2], [-1], [1], [2]])
        ends = jax.jit(jax.vmap(jax.vmap(end)))(beside)
    differences = np.asarray(ends) @ [1, -8, 8, -1] / (12 * near)
    np.testing.assert_allclose(slopes, differences, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("rate", ["b1", "b2"])
@pytest.mark.parametrize(
    "name", ["adam", "nadam", "radam", "acprop", "adabelief", "adan", "avagrad", "exadam", "mars"]
)
def test_a_decay_rate_of_zero_makes_no_nan_in_between(name, rate):
    tx, params = getattr(opt, name)(1e-3, **{rate: 0.0}), jnp.ones(2)
    state = tx.init(params)
    with jax.debug_nans(True):
        for _ in range(2):
            _, state = tx.update(params, state, params)


def test_a_scheduled_decay_rate_gathers_what_a_constant_one_does():
    """A plain float32 sum of 1e4 logs is off by 1e-5 of the mass."""
    params = jnp.ones(2)

    def last(b2):
        tx = al.adam(1e-3, b2=b2)
        step = lambda state, _: tx.update(params, state)[::-1]  # noqa: E731
        return jax.lax.scan(step, tx.init(params), None, length=10_000)[1][-1]

    scheduled, constant = last(lambda _: al.OneMinus(1e-5)), last(al.OneMinus(1e-5))
    np.testing.assert_allclose(scheduled, constant, rtol=3e-7)


@pytest.mark.parametrize("name", ["adam", "nadam", "adafactor", "sm3", "adam_mini", "adamw_8bit"])
def test_gradients_of_another_shape_than_the_states_are_refused(name):
    tx = opt.example(name)
    state = tx.init(jnp.ones((1, 3)))
    with pytest.raises((TypeError, ValueError), match=r"not what init returns.* it has shape"):
        tx.update(jnp.ones((4, 3)), state, jnp.ones((4, 3)))


def test_gradients_that_fit_no_state_are_told_what_to_pass():
    tx = al.adam(1e-3)
    for wrong in ({"w": jnp.ones(3)}, jnp.ones((5, 3)), jnp.ones(4)):
        with pytest.raises((TypeError, ValueError)) as caught:
            tx.update(wrong, tx.init(jnp.ones(3)))
        notes = [n for n in caught.value.__notes__ if "given no parameters" in n]
        assert len(notes) == 1


def test_grouped_updates_are_in_their_gradients_dtypes():
    params = {"a": jnp.ones(3), "b": jnp.ones(2)}
    grads = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2)}
    grouped = st.group_small_leaves(al.adam(0.1))
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = grouped.update(grads, grouped.init(params), params)
    assert {n: u.dtype for n, u in updates.items()} == {"a": jnp.bfloat16, "b": jnp.float32}


def test_a_mask_inside_of_grouped_leaves_is_refused():
    decays = al.adamw(0.1, weight_decay=1.0, mask=lambda q: jax.tree.map(lambda x: x.ndim > 1, q))
    with pytest.raises(ValueError, match="the optimizer has a mask"):
        st.group_small_leaves(decays).init({"w": jnp.ones((4, 3)), "b": jnp.ones(3)})


def test_names_that_there_are_not_say_which_there_are():
    assert al.compat.torch is torch
    with pytest.raises(AttributeError, match=r"it is adamlab\.optimizers\.nadam"):
        _ = al.nadam
    with pytest.raises(AttributeError, match=r"it is adamlab\.optimizers\.nadam"):
        _ = st.nadam
    with pytest.raises(AttributeError, match=r"Optax's agrees with adamlab\.optimizers\.adam$"):
        _ = al.compat.optax.adam
    with pytest.raises(AttributeError, match="did you mean 'adamw'"):
        _ = opt.adamW
    with pytest.raises(AttributeError, match="did you mean 'chain'"):
        _ = al.chian


FLAGS = [
    (build, parameter.name)
    for module in (opt, st, torch, keras, al.problems)
    for build in (getattr(module, name) for name in sorted(set(module.__all__)))
    if inspect.isfunction(build)
    for parameter in inspect.signature(build).parameters.values()
    if isinstance(parameter.default, bool)
]


@pytest.mark.parametrize(("build", "flag"), FLAGS, ids=[f"{b.__name__}-{f}" for b, f in FLAGS])
@pytest.mark.parametrize("value", ["False", 1])
def test_flags_are_true_or_false(build, flag, value):
    needed = {"learning_rate": 0.1, "decay": 0.9, "b2": 0.9, "widths": (2, 1)}
    needed["optimizer"] = al.sgd(0.1)
    given = {n: needed[n] for n in inspect.signature(build).parameters if n in needed}
    with pytest.raises(TypeError, match=f"{flag}={value!r}: must be True or False"):
        build(**given, **{flag: value})


def test_pytorchs_own_refusals_are_kept():
    for given in ({}, {"momentum": 0.9, "dampening": 0.1}):
        with pytest.raises(ValueError, match="nesterov=True: needs a momentum above 0"):
            torch.sgd(0.1, nesterov=True, **given)
    with pytest.raises(ValueError, match=r"d=0\.3: must be"):
        torch.adafactor(d=0.3)


def test_whole_numbers_as_hyperparameters_are_static():
    with pytest.raises(TypeError, match=r"every=.*adamlab.optimizers.inject_hyperparams leaves ev"):
        optax.inject_hyperparams(opt.sophia)(learning_rate=1e-3).init(PARAMS)
    assert "learning_rate" in opt.inject_hyperparams(opt.adam)(1).init(PARAMS).hyperparams


INJECTED = {
    "adafactor": {}, "adahessian": {"every": 2}, "adamw_8bit": {"min_size": 1}, "came": {},
    "adashift": {"keep_num": 3, "reduce": jnp.max}, "lookahead_adam": {"sync_period": 2},
    "ranger": {}, "soap": {}, "sophia": {},
    "adam_mini": {"axes": st.all_axes},
    "adamw": {"mask": lambda p: jax.tree.map(lambda x: x.ndim > 1, p)},
}  # fmt: skip


@pytest.mark.parametrize("name", INJECTED)
def test_what_is_no_hyperparameter_needs_no_marking(name):
    build, given = getattr(opt, name), INJECTED[name]
    params = {"w": jax.random.normal(jax.random.key(0), (3, 3)), "b": jnp.ones(3)}
    extra = {"hessian_diag": params} if name in ("adahessian", "sophia") else {}

    def twice(tx):
        state = tx.init(params)
        for shift in range(2):  # SOAP's basis is made of the first gradient
            grads = jax.tree.map(lambda p, shift=shift: jnp.roll(p, shift), params)
            updates, state = tx.update(grads, state, params, **extra)
        return updates, state

    injected, state = twice(opt.inject_hyperparams(build)(1e-3, **given))
    chex.assert_trees_all_close(injected, twice(build(1e-3, **given))[0], rtol=1e-4, atol=1e-9)
    assert "learning_rate" in state.hyperparams
    assert not set(given) & set(state.hyperparams)


def test_injected_numbers_change_without_compiling_and_are_kept_wide():
    tx = opt.inject_hyperparams(al.adam)(lambda n: 1e-3 / (1 + n.astype(jnp.float32)), b2=0.999)
    params = jnp.ones(3, jnp.bfloat16)
    state = tx.init(params)
    assert state.hyperparams["b2"].dtype == jnp.float32
    step = jax.jit(chex.assert_max_traces(tx.update, 1))
    first, state = step(params, state)
    state.hyperparams["b1"] = jnp.float32(0.5)
    step(params, state)
    np.testing.assert_allclose(np.asarray(first, np.float32), -1e-3, rtol=1e-2)
    with pytest.raises(TypeError, match=r"^lr=0.001: adam has .* here it is learning_rate"):
        opt.inject_hyperparams(al.adam)(1e-3, lr=1e-3)


@pytest.mark.parametrize(
    ("build", "name"),
    [(al.adam, "b1"), (al.adamw, "b2"), (opt.adabelief, "b2"), (opt.radam, "b2"), (opt.adan, "b3"),
     (opt.ademamix, "b3"), (opt.lion, "b1")],
)  # fmt: skip
def test_an_injected_decay_rate_may_change(build, name):
    """A mean is corrected by the weight that it has gathered, not as if b had been so always.

    Lion, which takes no schedule of it, is as Optax's function has it.
    """
    rate = optax.linear_schedule(0.5, 0.99, 10)
    grads = jax.random.normal(jax.random.key(0), (12, 3))

    def updates(tx):
        return jax.lax.scan(lambda s, g: tx.update(g, s, g)[::-1], tx.init(grads[0]), grads)[1]

    injected = updates(opt.inject_hyperparams(build)(1e-2, **{name: rate}))
    if build is opt.lion:
        expected = updates(optax.inject_hyperparams(build)(1e-2, **{name: rate}))
    else:
        expected = updates(build(1e-2, **{name: rate}))
    np.testing.assert_allclose(injected, expected, rtol=1e-5, atol=1e-8)


def test_an_injected_decay_rate_that_is_replaced_keeps_the_step():
    """With equal gradients Adam's step is the learning rate, whatever the decay rates were."""
    tx = opt.inject_hyperparams(al.adam)(1e-2, b2=0.9)
    state = tx.init(jnp.ones(2))
    for step in range(40):
        if step == 20:
            state.hyperparams["b2"] = jnp.float32(0.999)
        update, state = tx.update(jnp.ones(2), state)
    np.testing.assert_allclose(update, -1e-2, rtol=1e-5)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_factory_of_ones_own_is_injected_by_its_types(as_text):
    def mine(learning_rate, b1, mask):
        return al.chain(
            st.track_moments(b1, 0.5),
            st.correct_bias(),
            st.precondition(),
            st.add_decayed_weights(0.1, mask),
            al.scale_by_learning_rate(learning_rate),
        )

    types = {"learning_rate": typing.Any, "b1": st.DecayRate, "mask": st.Mask}
    text = {"learning_rate": "typing.Any", "b1": "st.DecayRate", "mask": "st.Mask"}
    mine.__annotations__ = text if as_text else types
    tx = opt.inject_hyperparams(mine)(1e-2, 0.5, lambda params: {"w": True, "b": False})
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    state = tx.init(params)
    assert set(state.hyperparams) == {"learning_rate", "b1"}
    for b1 in (0.5, 0.5, 0.99):
        state.hyperparams["b1"] = jnp.float32(b1)
        updates, state = tx.update({"w": jnp.ones(2), "b": jnp.ones(2)}, state, params)
        np.testing.assert_allclose(updates["w"], -1.1e-2, rtol=1e-5)
        np.testing.assert_allclose(updates["b"], -1e-2, rtol=1e-5)


def test_a_whole_number_annotated_as_a_scalar_is_injected():
    def mine(learning_rate: st.ScalarOrSchedule, decay: st.ScalarOrSchedule = 0, count: int = 2):
        return al.chain(al.add_decayed_weights(decay), al.sgd(learning_rate))

    mine.__annotations__ = {"learning_rate": st.ScalarOrSchedule, "decay": st.ScalarOrSchedule}
    state = opt.inject_hyperparams(mine)(1, 1).init({"w": jnp.ones(2)})
    assert set(state.hyperparams) == {"learning_rate", "decay"}


@pytest.mark.parametrize("hint", [typing.Any, optax.ScalarOrSchedule, st.ScalarOrSchedule])
def test_a_schedule_of_ones_own_factory_is_injected_whatever_its_annotation(hint):
    def mine(learning_rate):
        return al.adam(learning_rate)

    mine.__annotations__ = {"learning_rate": hint}
    state = opt.inject_hyperparams(mine)(optax.constant_schedule(1e-2)).init({"w": jnp.ones(2)})
    assert state.hyperparams == {"learning_rate": jnp.float32(1e-2)}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_numbers_type_says_whether_it_takes_a_schedule(name):
    build = BUILDERS[name]
    parameters, hints = inspect.signature(build).parameters, typing.get_type_hints(build)
    given = {n: value for n, value in NEEDED.items() if n in parameters}
    numbers = {n: p.default for n, p in parameters.items() if isinstance(p.default, float)}
    assert not [n for n in numbers if hints[n] in (typing.Any, float)]
    for argument, value in {"learning_rate": 1e-3, **numbers}.items():
        if argument not in parameters or is_decay_rate(hints[argument]):
            continue
        refused = pytest.raises(TypeError, match=rf"^{argument}=<function .*, not a schedule")
        with nullcontext() if takes_schedules(hints[argument]) else refused:
            build(**given | {argument: lambda n, value=value: value})


def test_rectification_holds_for_b2_near_one(x64):
    """rho is a small difference of large numbers; float32 must still tell 4.9 from 5.1."""
    from decimal import Decimal, getcontext

    getcontext().prec = 60
    for b2 in (0.999, 0.99999):
        exact = Decimal(str(b2))
        end = 2 / (1 - exact) - 1
        for steps in (5, 6, 50, 1000):
            power = exact**steps
            rho = end - 2 * steps * power / (1 - power)
            expected = 1.0
            if rho >= 5:
                over = (rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho)
                expected = float(over.sqrt())
            mass = -jnp.expm1(jnp.float32(steps) * np.float32(np.log(b2)))
            moments = st.Moments(
                jnp.ones(1, jnp.float32), jnp.int32(steps), nu=jnp.ones(1, jnp.float32),
                nu_mass=mass, rate=jnp.ones(1, jnp.float32), nu_gathered=mass,
            )  # fmt: skip
            with jax.enable_x64(False):
                after, _ = st.rectify_rate(b2).update(moments, optax.EmptyState())
            np.testing.assert_allclose(float(after.rate[0]), expected, rtol=2e-5)


def test_the_catalogue_names_the_stages():
    assert opt.stages_of("adam") == (
        "track_moments", "correct_bias", "precondition", "scale_by_learning_rate",
    )  # fmt: skip
    assert opt.stages_of("yogi")[0] == "track_moments(yogi)"
    assert "nesterov" in opt.stages_of("nadam")
    assert len(opt.names()) >= 45
    for name in opt.names():
        text = getattr(opt, name).__doc__
        assert "20" in text or "19" in text, f"{name} names no paper"


def test_exact_mars_takes_this_batchs_gradient_at_the_old_parameters():
    """With it in place of the remembered one the two forms differ by what the batches differ in."""
    tx = st.add_gradient_difference(0.5, max_norm=None)
    state = tx.init(PARAMS)
    _, state = tx.update(GRADS, state, PARAMS)
    now = jax.tree.map(lambda g: 2 * g, GRADS)
    old = jax.tree.map(lambda g: 3 * g, GRADS)
    approximate, _ = tx.update(now, state, PARAMS)
    exact, after = tx.update(now, state, PARAMS, previous_grad=old)
    jax.tree.map(lambda a, g: np.testing.assert_allclose(a, 2.5 * g, rtol=1e-6), approximate, GRADS)
    jax.tree.map(lambda a, g: np.testing.assert_allclose(a, 1.5 * g, rtol=1e-6), exact, GRADS)
    jax.tree.map(np.testing.assert_array_equal, after.previous, now)


def test_the_average_of_the_parameters_is_kept():
    tx = al.chain(al.sgd(0.1), st.average_parameters(0.9))
    params, state, average = PARAMS, tx.init(PARAMS), PARAMS
    for _ in range(3):
        updates, state = tx.update(GRADS, state, params)
        params = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, p: 0.9 * a + 0.1 * p, average, params)
    kept = optax.tree.get(state, "average")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), kept, average)


def _shallow(state, names):
    """The containers in a state that look like the parameters, and hold more than arrays."""
    if isinstance(state, dict):
        if set(state) == names:
            return [] if jax.tree_util.all_leaves(state.values()) else [state]
        return [x for part in state.values() for x in _shallow(part, names)]
    if isinstance(state, tuple | list):
        return [x for part in state for x in _shallow(part, names)]
    return []


@pytest.mark.parametrize("name", sorted(set(SUBJECTS)))
def test_a_state_goes_no_deeper_than_the_parameters(name):
    """`flax.nnx.State` holds arrays at its leaves: what goes deeper comes back as another state."""
    params = {"w": jnp.ones((128, 128)), "b": jnp.ones(128)}
    state = jax.eval_shape(SUBJECTS[name].tx.init, params)
    assert not _shallow(state, set(params))


@pytest.mark.parametrize("name", ["adafactor", "sm3", "came", "adamw_8bit", "soap"])
def test_what_is_kept_in_parts_trains_an_nnx_model(name):
    from flax import nnx

    model = nnx.Linear(128, 128, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, getattr(opt, name)(1e-3), wrt=nnx.Param)
    x = jnp.ones((2, 128))
    before = model(x)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda m: jnp.mean(m(x) ** 2))(model))

    for _ in range(3):
        step(model, optimizer)
    assert jnp.mean(model(x) ** 2) < jnp.mean(before**2)


def test_numpys_float64_is_not_computed_in_without_jaxs():
    params = {"w": np.ones(1)}
    for size in (1e-10, 1.0, 1e20):
        update = _update(al.adam(1e-2, eps=0.0), {"w": np.full(1, size)}, params)["w"]
        assert update.dtype == jnp.float32
        np.testing.assert_allclose(update, -1e-2, rtol=1e-5)


def test_a_python_number_is_a_parameter():
    np.testing.assert_allclose(_update(al.adam(0.1), 2.0, 0.5), -0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: _update(al.adam(0.1), params={"n": jnp.arange(3)}), r"parameter at \['n'\] is in"),
        (lambda: al.adam(0.1).update(jnp.arange(3), al.adam(0.1).init(jnp.ones(3))),
         "the gradient at the top is int"),
        (lambda: _update(al.chain(st.track_moments(b2=st.yogi), st.precondition())),
         r"yogi was taken for a schedule, but gives no number: call it, yogi\(\)"),
        (lambda: _update(al.chain(st.track_moments(), st.precondition(st.cube_root))),
         r"cube_root was taken for a schedule"),
        (lambda: al.adam(0.1, b2=np.float32(0.99999999)), r"b2=1: must .* or an axis 1-b2"),
        (lambda: _update(al.chain(
            st.track_moments(), st.MomentsToMoments.from_function("mine", lambda m: None),
            st.precondition())), "mine is a MomentsToMoments and gave a NoneType"),
        (lambda: _update(al.chain(
            st.track_moments(), st.MomentsToDirection.from_function("mine", lambda m: m))),
         "mine is a MomentsToDirection and gave a Moments"),
        (lambda: optax.inject_hyperparams(al.adam)(learning_rate=0.1).init(
            jnp.ones(2, jnp.bfloat16)), "inject_hyperparams keeps it in float32"),
    ],
)  # fmt: skip
def test_ordinary_mistakes_are_told(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()


def test_a_stage_between_moments_may_ask_for_the_loss():
    def by_value(moments, state, *, value, **_):
        return moments._replace(mu=jax.tree.map(lambda m: m * value, moments.mu)), state

    scaled = st.MomentsToMoments.from_update(
        "scaled", optax.init_empty_state, by_value, extra_args=("value",)
    )
    tx = al.chain(st.track_moments(), scaled, st.precondition())
    once, thrice = (_update(tx, value=jnp.float32(v)) for v in (1.0, 3.0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(3 * a, b, rtol=1e-6), once, thrice)
    with pytest.raises(ValueError, match="scaled needs value"):
        _update(tx)


def test_a_second_moment_of_ones_own_is_kept_wide():
    def fold(nu, seen, weight):
        new = nu + weight * (jnp.abs(seen.grad) - nu)
        return new, new

    rule = st.SecondMoment("magnitudes", 0.999, jnp.zeros_like, fold)
    state = st.track_moments(0.9, rule).init(jnp.ones(2, jnp.bfloat16))
    assert state.nu.dtype == jnp.float32


def test_adamax_comes_back_from_infinity():
    tx = opt.adamax(1e-3)
    state = tx.init(jnp.ones(1))
    for g in (1.0, np.inf, 1.0, 1.0):
        update, state = tx.update(jnp.full(1, g), state)
    assert update[0] < -1e-4
    np.testing.assert_allclose(_update(tx, jnp.full(1, 1e20), jnp.ones(1)), -1e-3, rtol=1e-5)


@pytest.mark.parametrize("size", [1.0, 1e8, 1e10])
def test_quasi_hyperbolic_squares_are_cut_off_as_squares(size):
    tx = opt.qhadam(1.0, v2=0.5, eps=0.0)
    np.testing.assert_allclose(_update(tx, jnp.full(1, size), jnp.ones(1)), -1.0, rtol=1e-6)


def test_a_row_of_zeros_projects_nothing():
    weights = jnp.array([[0.0, 0.0], [1.0, 2.0]])
    assert jnp.isfinite(_update(opt.adamp(1e-3, eps=0.0), 0.1 * weights, weights)).all()


def test_inertia_of_zero_has_a_slope():
    curvature = jnp.linspace(1, 100, 16).at[0].set(1e3)

    def after(rate):
        tx = opt.adai(rate)
        params = jnp.ones(16)
        state = tx.init(params)
        for _ in range(3):
            updates, state = tx.update(curvature * params, state, params)
            params = params + updates
        return jnp.sum(params**2)

    assert jnp.isfinite(jax.grad(after)(1e-4))


def test_a_window_goes_on_when_its_count_is_full():
    stage = st.track_window(0.5, 3)
    state = stage.init(jnp.zeros(1))
    state = state._replace(count=jnp.asarray(2**31 - 3, jnp.int32))
    for t in range(8):
        moments, state = stage.update(jnp.full(1, float(t)), state)
    np.testing.assert_allclose(moments.mu, (7 + 6 * 0.5 + 5 * 0.25) / 1.75, rtol=1e-6)
    assert moments.grad[0] == 4.0


def test_soap_takes_a_bare_number_and_adamc_a_scheduled_decay():
    tx = opt.soap(1e-3)
    params = jnp.ones(())
    state = tx.init(params)
    for _ in range(3):
        update, state = tx.update(params, state, params)
    np.testing.assert_allclose(update, -1e-3, rtol=1e-4)
    one, other = (
        _update(opt.adamc(1e-3, weight_decay=decay, normalized=False, peak=1e-3))
        for decay in (0.1, lambda n: 0.1)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_lookahead_steps_like_what_it_goes_round_until_it_syncs():
    plain, tx = al.adam(1e-3), opt.lookahead_adam(1e-3, sync_period=3, slow_step_size=0.25)
    params, grads = jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.bfloat16)
    own, state = plain.init(params), tx.init(params)
    start = np.ones(2)
    for step in range(1, 8):
        expected, own = plain.update(grads, own, params)
        update, state = tx.update(grads, state, params)
        slow = optax.tree.get(state, "slow")
        assert slow.dtype == jnp.float32
        if step % 3:
            np.testing.assert_array_equal(update, expected)
        else:
            fast = np.asarray(params, np.float64) + np.asarray(expected, np.float64)
            np.testing.assert_allclose(slow, start + 0.25 * (fast - start), rtol=1e-6)
            start = np.asarray(slow)
            back = slow - params.astype(jnp.float32)
            np.testing.assert_array_equal(update, back.astype(jnp.bfloat16))
        params = optax.apply_updates(params, update)


@pytest.mark.parametrize("name", sorted(set(SUBJECTS)))
def test_complex_parameters_need_no_promotion_outside(name):
    params = {"w": jnp.ones((2, 3), jnp.complex64), "b": jnp.ones(3, jnp.complex64)}
    forms = jax.eval_shape(lambda: SUBJECTS[name].step(
        SUBJECTS[name].tx, params, SUBJECTS[name].tx.init(params), params))  # fmt: skip
    assert {x.dtype for x in jax.tree.leaves(forms[0])} == {jnp.dtype(jnp.complex64)}


@pytest.mark.parametrize("name", sorted(set(SUBJECTS)))
def test_hyperparameters_in_float32_meet_float64(name):
    subject = SUBJECTS[name]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3, jnp.float32)}

        def step(values, params):
            tx = subject.build(**values)
            state = tx.init(params)
            return state, *subject.step(tx, params, state, params)

        values = {n: jnp.float32(v) for n, v in subject.hyperparameters.items()}
        before, updates, after = jax.eval_shape(step, values, params)
    dtypes = [jax.tree.map(lambda x: x.dtype, tree) for tree in (params, updates, before, after)]
    assert dtypes[0] == dtypes[1]
    assert dtypes[2] == dtypes[3]


def test_decay_rates_that_are_used_as_numbers_come_in_any_form():
    for build in (opt.nadam_scheduled, opt.mars, opt.simplified_ademamix, opt.adashift, opt.lion,
                  opt.prodigy, opt.dadapt_adam, opt.adapnm, opt.came, opt.novograd,
                  opt.schedule_free_adamw):  # fmt: skip
        plain, given = build(0.1, b1=0.9), build(0.1, b1=al.OneMinus(0.1))
        one, two = (_update(tx) for tx in (plain, given))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one, two)
        with pytest.raises(TypeError, match=r"b1=.*not a schedule"):
            build(0.1, b1=lambda n: 0.9)


def test_libraries_forms_take_traced_decay():
    for build in (torch.adamw, torch.adam, keras.adam):

        def run(decay, build=build):
            return _update(build(weight_decay=decay))["w"]

        np.testing.assert_allclose(jax.vmap(run)(jnp.asarray([0.1]))[0], run(0.1), rtol=1e-6)


def test_averages_of_bfloat16_parameters_move():
    params = jnp.ones(2, jnp.bfloat16)
    averaging = st.average_parameters(0.999)
    state = averaging.init(params)
    slow = al.chain(st.track_moments(None, 0.9), st.track_mu(0.9), st.mix_slow_average(0.9999, 1.0),
                    st.take_mu())  # fmt: skip
    kept = slow.init(params)

    def step(carry, _):
        state, kept = carry
        _, state = averaging.update(params, state, params)
        _, kept = slow.update(params, kept, params)
        return (state, kept), None

    (state, kept), _ = jax.lax.scan(step, (state, kept), length=3000)
    np.testing.assert_allclose(state.average, 2 - 0.999**3000, rtol=1e-3)
    np.testing.assert_allclose(
        optax.tree.get(kept, "mu_slow"), 1 - 0.9999**3000, rtol=1e-3)  # fmt: skip


def test_a_zero_gradient_of_a_matrix_is_no_nan():
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    jax.tree.map(lambda u: np.testing.assert_array_equal(u, 0), _update(torch.adafactor(), zero))
    jax.tree.map(
        lambda u: np.testing.assert_array_equal(u, 0), _update(opt.exadam(1e-3, eps=0.0), zero)
    )


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_an_infinite_gradient_is_recovered_from(dtype):
    tx = al.adam(1e-2)
    state = tx.init(jnp.zeros(2, dtype))
    updates, state = tx.update(jnp.asarray([jnp.inf, 1], dtype), state)
    assert jnp.isfinite(updates).all()
    for _ in range(50):
        updates, state = tx.update(jnp.ones(2, dtype), state)
    assert jnp.isfinite(updates).all()


def test_adashift_under_a_schedule_is_adashift():
    ends = []
    for b2 in (0.999, lambda n: 0.999):
        tx = opt.adashift(1e-3, b2=b2, keep_num=3)
        state = tx.init(jnp.ones(2))
        for _ in range(6):
            updates, state = tx.update(jnp.ones(2), state)
        ends.append(updates)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


def test_what_has_no_bias_is_not_corrected():
    tx = al.chain(
        st.track_moments(0.9, st.largest(0.999)), st.correct_bias(), st.precondition(st.unrooted())
    )
    np.testing.assert_allclose(_update(tx, jnp.ones(2), jnp.ones(2)), 1.0, rtol=1e-6)
    sums = al.chain(st.track_moments(None, st.previous(st.sums())), st.precondition())
    np.testing.assert_array_equal(_update(sums, jnp.ones(2), jnp.ones(2)), 0.0)


def test_complex_parameters_turn_with_their_phase():
    params = jnp.asarray([1.0, -2.0], jnp.complex64)
    grads = jnp.asarray([0.5, 1.0], jnp.complex64)
    for tx in (opt.prodigy(), opt.dadapt_adam(), opt.adopt(1e-2), opt.adan(1e-2)):
        paths = []
        for phase in (1.0, 1j):
            now, state = params * phase, tx.init(params * phase)
            for _ in range(5):
                updates, state = tx.update(grads * phase, state, now)
                now = optax.apply_updates(now, updates)
            paths.append(now / phase)
        np.testing.assert_allclose(paths[0], paths[1], rtol=1e-5)


def test_independent_decay_follows_the_rate_in_whatever_form_it_comes():
    def make(learning_rate):
        return opt.adamw_independent(learning_rate, weight_decay=0.1, peak=0.1)

    expected = _update(make(lambda n: 0.05))
    for tx in (make(0.05), optax.inject_hyperparams(make)(learning_rate=0.05)):
        found = _update(tx)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)
    still = _update(make(0.0))
    jax.tree.map(lambda u: np.testing.assert_array_equal(u, 0), still)


@pytest.mark.parametrize("build", [opt.adabound, opt.amsbound])
def test_bounds_follow_a_schedule_where_the_final_rate_does(build, x64):
    """The authors' code: `final_lr * lr / base_lr`; one element, so that the clip is seen."""

    def rate(n):
        return 0.1 * (1 - jnp.asarray(n, float) / 4)

    tx = build(rate, 0.9, 0.99, final_rate=lambda n: 0.05 * rate(n) / 0.1, gamma=0.5)
    state, params = tx.init(jnp.ones(1)), jnp.ones(1)
    m, v, largest = 0.0, 0.0, 0.0
    for t, g in enumerate((1.0, -3.0, 0.5, 2.0, 1.0), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        largest = max(largest, v) if build is opt.amsbound else v
        lr = rate(t - 1)
        final = 0.05 * lr / 0.1
        low, high = final * (1 - 1 / (0.5 * t + 1)), final * (1 + 1 / (0.5 * t))
        step = lr * (1 - 0.99**t) ** 0.5 / (1 - 0.9**t) / (largest**0.5 + 1e-8)
        updates, state = tx.update(jnp.full(1, g), state, params)
        np.testing.assert_allclose(updates, [-min(max(step, low), high) * m], rtol=1e-6)
    assert updates[0] == 0  # the rate is


def test_a_window_may_weigh_its_gradients_alike():
    one, two = (_update(opt.adashift(0.1, b1=b1, keep_num=1)) for b1 in (1, 1.0))
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_a_chain_takes_states_of_any_kind():
    counting = optax.GradientTransformation(lambda p: 0, lambda g, s, p=None: (g, s + 1))
    for tx in (
        al.chain(al.scale_by_learning_rate(0.1), counting),
        al.chain(opt.adopt(0.1), counting),
        al.chain(opt.adopt(0.1), optax.stateless(lambda g, p: g)),
    ):
        _update(tx, GRADS)


@pytest.mark.parametrize("name", ["adan", "mars"])
def test_a_narrow_gradient_beside_wide_parameters_is_forgotten_after_infinity(name):
    params, tx = jnp.ones(3), opt.example(name, 1e-2)
    state = tx.init(params)
    for step in range(8):
        grads = jnp.array([jnp.inf if step == 3 else 1.0, -1, 0.5], jnp.float16)
        update, state = tx.update(grads, state, params)
        assert jnp.abs(update).max() < 1


def test_the_angle_of_a_complex_average_has_its_phase():
    grads = jnp.array([1j, -2j, 3.0, 0.0, 1 + 1j], jnp.complex64)
    tx = opt.adam_atan2(0.1)
    update, _ = tx.update(grads, tx.init(grads), grads)
    turned, _ = tx.update(grads * 1j, tx.init(grads), grads)
    assert jnp.isfinite(update).all()
    np.testing.assert_allclose(turned, update * 1j, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(np.delete(abs(update), 3), 0.1 * 1.27 * np.pi / 4, rtol=1e-5)


def test_a_decayed_nu_is_never_negative():
    tx, params = opt.ano(1e-2, b2=0.3), jnp.ones(3)
    state = tx.init(params)
    for step in range(20):
        grads = jax.random.normal(jax.random.key(step), (3,))
        update, state = tx.update(grads, state, params)
        assert jnp.isfinite(update).all()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: opt.adam_mini(1e-3, axes=0), "axes=0: must be a function"),
        (lambda: opt.adashift(1e-3, reduce="mix"), "reduce='mix': must be a function"),
        (lambda: opt.adopt(1e-3, clip=0.5), "clip=0.5: must be True or False"),
        (lambda: opt.nadam(1e-3, b1=None), "b1=None: must be"),
        (lambda: opt.soap(1e-3, b2=None), "b2=None: must be"),
        (lambda: opt.adamw(1e-3, mask="bias"), "mask='bias': must be a tree of True and False"),
        (lambda: opt.adamw(1e-3, mask=["w"]), "must be a tree of True and False"),
        (lambda: opt.qhadam(1e-3, v2=2.0), r"v2=2: must be a number in \[0, 1\]"),
        (lambda: torch.adam(1e-3, 0.9, 0.999), r"betas=0.9: must be two values"),
        (lambda: torch.radam(betas=[0.5]), r"betas=\[0.5\]: must be two values"),
        (lambda: torch.adafactor(eps=1e-30), "eps=1e-30: must be two values"),
    ],
)
def test_these_mistakes_too_are_named(build, said):
    with pytest.raises((TypeError, ValueError), match=said):
        build()


@pytest.mark.parametrize(("name", "static"), [("adam_mini", ()), ("adashift", ("keep_num",))])
def test_functions_among_the_hyperparameters_are_no_schedules(name, static):
    injected = optax.inject_hyperparams(getattr(opt, name), static_args=static)
    for build in (injected, getattr(opt, name)):
        tx = build(learning_rate=1e-3)
        assert jnp.isfinite(_update(tx, GRADS)["w"]).all()


@pytest.mark.parametrize("eps", [0.0, 1e-50, 1e-8])
def test_dadapt_moves_nothing_at_a_zero_gradient_whatever_its_eps(eps):
    tx, params = opt.dadapt_adam(eps=eps), jnp.ones(3)
    update = jax.jit(tx.update)(jnp.zeros(3), tx.init(params), params)[0]
    np.testing.assert_array_equal(update, 0)


def test_infinite_curvature_is_recovered_from():
    tx, params = opt.sophia(1e-2, every=1), jnp.ones(2)
    state = tx.init(params)
    for size in (jnp.inf, 1.0):
        _, state = tx.update(params, state, params, hessian_diag=jnp.array([size, 1.0]))
    chex.assert_tree_all_finite(state)


def test_an_infinite_gradient_leaves_the_sums_of_gradients_finite():
    tx, params = opt.madgrad(1e-2), jnp.ones(2)
    _, state = tx.update(jnp.array([jnp.inf, 1.0]), tx.init(params), params)
    chex.assert_tree_all_finite(state)


def test_turned_by_a_phase_complex_weights_are_as_orthogonal_as_before():
    p, g = jnp.array([[1.0, 2.0]], jnp.complex64), jnp.array([[1.0, 1.0]], jnp.complex64)
    tx, paths = opt.adamp(1e-2), []
    for phase in (1, jnp.exp(0.25j * jnp.pi).astype(jnp.complex64)):
        paths.append(tx.update(g * phase, tx.init(p), p * phase)[0] / phase)
    np.testing.assert_allclose(*paths, rtol=1e-5)


def test_an_example_of_any_rate_is_at_the_peak_of_its_schedule():
    params, found = jnp.ones((2, 2)), []
    for rate in (1e-3, 1.0):
        tx = opt.example("adamc", rate)
        found.append(tx.update(params, tx.init(params), params)[0] / rate)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_dtype_of_ones_own_factory_stays_a_dtype():
    def own(learning_rate, mu_dtype):
        assert isinstance(mu_dtype, type)
        return optax.adam(learning_rate, mu_dtype=mu_dtype)

    state = opt.inject_hyperparams(own)(0.1, jnp.bfloat16).init(jnp.ones(2))
    assert optax.tree.get(state, "mu").dtype == jnp.bfloat16


@pytest.mark.parametrize("name", ["learning_rate", "b1", "b2", "eps"])
def test_a_traced_value_is_a_scalar(name):
    @jax.jit
    def start(value):
        return opt.adam(**{"learning_rate": 0.1, name: value}).init(jnp.ones(3))

    with pytest.raises(ValueError, match=rf"{name} has shape \(3,\): must be"):
        start(jnp.array([0.1, 0.2, 0.3]))


def test_a_decay_rate_that_is_known_may_be_a_jax_scalar_under_a_trace():
    rate, one = jnp.float32(0.5), jnp.float32(1.0)
    grads = jnp.ones(3)
    tx = opt.adam(0.1, b1=0.5, b2=0.5)
    plain, _ = tx.update(grads, tx.init(grads))

    @jax.jit
    def step(grads):
        tx = opt.adam(0.1, b1=rate, b2=al.OneMinus(rate))
        return tx.update(grads, tx.init(grads))[0]

    np.testing.assert_allclose(step(grads), plain, rtol=1e-6)
    with pytest.raises(ValueError, match="b1=1: must be a number in"):
        jax.jit(lambda g: opt.adam(0.1, b1=one).init(g))(grads)
    with pytest.raises(TypeError, match=r"b1='0\.9': must be"):
        opt.adam(0.1, b1="0.9")
