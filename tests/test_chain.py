"""What fits together in a chain, what does not, and what the errors say."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import adamlab as al
from adamlab import optimizers, stages, testing
from adamlab.stages import (
    DirectionToDirection,
    GradientToDirection,
    GradientToGradient,
    GradientToMoments,
    MomentsToMoments,
)

pytestmark = pytest.mark.rounding

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
GRADS = {"w": jnp.full((3, 2), 0.5), "b": jnp.array([1.0, -2.0])}


def test_the_readmes_chain_is_a_whole_optimizer():
    tx = al.chain(
        al.clip_by_global_norm(1.0),
        al.track_moments(b1=0.9, b2=0.999),
        al.correct_bias(),
        al.amsgrad_max(),
        al.precondition(eps=1e-8),
        al.add_decayed_weights(1e-2),
        al.scale_by_learning_rate(1e-3),
    )
    assert isinstance(tx, GradientToDirection)
    by_hand = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_amsgrad(),
        optax.add_decayed_weights(1e-2),
        optax.scale_by_learning_rate(1e-3),
    )
    with jax.numpy_dtype_promotion("standard"):
        expected, _ = by_hand.update(GRADS, by_hand.init(PARAMS), PARAMS)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    chex.assert_trees_all_close(updates, expected, rtol=2e-5)


MISFITS = {
    "ends in moments": (
        lambda: al.chain(al.track_moments(), al.correct_bias()),
        "the chain ends in moments, after correct_bias; put precondition() after it",
    ),
    "starts with a correction": (
        lambda: al.chain(al.correct_bias(), al.precondition()),
        "stage 1 of the chain, correct_bias, takes moments, but the chain is fed with gradients",
    ),
    "correction fed with gradients": (
        lambda: al.chain(al.centralize(), al.correct_bias()),
        "stage 2 of the chain, correct_bias, takes moments, but centralize gives a gradient",
    ),
    "moments of a direction": (
        lambda: al.chain(
            al.track_moments(), al.precondition(), al.track_moments(), al.precondition()
        ),
        "stage 3 of the chain, track_moments, takes a gradient, but precondition gives a direction",
    ),
    "learning rate before precondition": (
        lambda: al.chain(al.track_moments(), al.scale_by_learning_rate(1.0), al.precondition()),
        "stage 2 of the chain, scale_by_learning_rate, takes a direction, but track_moments gives "
        "moments",
    ),
    "Optax's clip among moments": (
        lambda: al.chain(al.track_moments(), optax.clip(1.0), al.precondition()),
        "stage 2 of the chain, clip, knows nothing of moments",
    ),
    "Optax's scale among moments": (
        lambda: al.chain(al.track_moments(), optax.scale(2.0), al.precondition()),
        "stage 2 of the chain, scale, knows nothing of moments",
    ),
    "Optax's mask among moments": (
        lambda: al.chain(
            al.track_moments(), optax.masked(al.amsgrad_max(), True), al.precondition()
        ),
        "stage 2 of the chain, masked, knows nothing of moments",
    ),
    "a stage not called": (
        lambda: al.chain(al.track_moments, al.precondition()),
        "stage 1 of the chain, track_moments, is not a stage; call it: track_moments(...)",
    ),
    "a list of stages": (
        lambda: al.chain([al.track_moments(), al.precondition()]),
        "stage 1 of the chain, a list, is not a stage; unpack it: chain(*stages)",
    ),
    "Optax's MultiSteps": (
        lambda: al.chain(optax.MultiSteps(al.adam(1e-3), 2)),
        "is not a stage; give the chain its .gradient_transformation()",
    ),
    "a second moment that is an optimizer": (
        lambda: al.track_moments(b2=optimizers.yogi(0.9)),
        "b2 is a whole optimizer: must be",
    ),
    "a stage named by its function": (
        lambda: stages.change_mu(jnp.add, "mine"),
        "must be a string, which comes first",
    ),
    "an average lost": (
        lambda: al.chain(al.track_moments(), stages.track_nu(0.9), al.precondition()),
        "track_nu finds the second moment tracked already",
    ),
    "the laws of a stage": (
        lambda: testing.check_laws(al.track_moments()),
        "track_moments takes or gives moments",
    ),
    "a map's axis by another library's name": (
        lambda: al.convergence_map(al.rosenbrock(), al.adam, {"lr": [1e-3]}, steps=8),
        "has it; here it is learning_rate",
    ),
    "something else": (lambda: al.chain(al.track_moments(), 3), "stage 2 of the chain, 3, is no"),
    "nothing": (lambda: al.chain(), "chain() got no stages"),
    "center without mu": (
        lambda: _step(al.chain(al.track_moments(b1=None), al.center_nu(), al.precondition())),
        "center_nu needs the first moment",
    ),
    "precondition without nu": (
        lambda: _step(al.chain(al.track_moments(b2=None), al.precondition())),
        "precondition needs the second moment; give track_moments a b2",
    ),
    "correction under optax.chain": (
        lambda: _step(optax.chain(al.correct_bias(), al.precondition())),
        "correct_bias takes the moments that track_moments hands on, but got a dict",
    ),
    "scale under optax.chain": (
        lambda: _step(optax.chain(al.track_moments(), optax.scale(0.5), al.precondition())),
        "precondition got moments whose count is no longer an integer",
    ),
    "foreign state": (
        lambda: al.adam(1e-3).update(GRADS, optax.EmptyState(), PARAMS),
        "must be what this chain's init returned",
    ),
    "the state of another chain": (
        lambda: al.adam(1e-3).update(GRADS, al.adamw(1e-3).init(PARAMS), PARAMS),
        "the state is a tuple of 3: it must be what this chain's init returned",
    ),
    "the state of other parameters": (
        lambda: al.adam(1e-3).update(GRADS, al.adam(1e-3).init({"v": jnp.ones(3)}), PARAMS),
        "not what init returns for these parameters: at [0][0].mu['b'] it has nothing, where init "
        "gives shape (2,)",
    ),
    "the state of parameters of another shape": (
        lambda: al.adam(1e-3).update(
            GRADS, al.adam(1e-3).init({**PARAMS, "b": jnp.ones(4)}), PARAMS
        ),
        "at [0][0].mu['b'] it has shape (4,), where init gives shape (2,)",
    ),
    "the state of Optax's": (
        lambda: al.adam(1e-3).update(GRADS, optax.adam(1e-3).init(PARAMS), PARAMS),
        "not what init returns for these parameters",
    ),
    "init without parameters": (lambda: al.adam(1e-3).init(None), "params=None: init needs"),
    "a schedule without a number": (
        lambda: _step(al.adam(lambda step: None)),
        "gave None: it must give one number for a step",
    ),
    "a decay rate without a number": (
        lambda: _step(al.adam(1e-3, b1=lambda step: None)),
        "gave None: it must give one number for a step",
    ),
    "a schedule of several numbers": (
        lambda: _step(al.adamw(1e-3, weight_decay=lambda step: jnp.ones(3))),
        "gave the shape (3,): it must give one number for a step",
    ),
    "a mask of other parameters": (
        lambda: _step(al.adamw(1e-3, mask={"v": True})),
        "mask={'v': True}: must have the parameters' tree",
    ),
    "a function to a mask of other parameters": (
        lambda: _step(al.chain(al.add_independent_decay(0.1, mask=lambda p: {"v": True}))),
        "mask={'v': True}: must have the parameters' tree",
    ),
    "a mask of arrays": (
        lambda: al.adamw(1e-3, mask={"w": np.ones(3, bool)}),
        "must be a tree of True and False like the parameters",
    ),
    "decay after the learning rate": (
        lambda: al.chain(al.adam(1e-3), al.add_decayed_weights(0.1)),
        "add_decayed_weights stands after the learning rate, which must multiply its output",
    ),
    "two learning rates": (
        lambda: al.chain(al.adam(1e-2), al.scale_by_learning_rate(1.0)),
        "2 learning rates each flip the sign, so the chain would ascend",
    ),
    "an anchor after the learning rate": (
        lambda: al.chain(al.adam(1e-2), stages.anchor_to_start()),
        "anchor_to_start stands after the learning rate",
    ),
    "a mixture corrected": (
        lambda: al.chain(
            al.track_moments(), stages.mix_slow_average(), al.correct_bias(), al.precondition()
        ),
        "correct_bias stands after mix_slow_average, which mixes into the averages what",
    ),
    "one's own mixture corrected": (
        lambda: al.chain(
            al.track_moments(),
            stages.change_mu("mine", jnp.add),
            stages.nesterov(0.9),
            al.precondition(),
        ),
        "nesterov stands after mine",
    ),
    "averages of another shape": (
        lambda: _step(_making(lambda m: m._replace(mu=jax.tree.map(jnp.sum, m.mu)))),
        "mine gave a mu of shape () where the gradient's is (2,): must be the same",
    ),
    "a second moment without an axis": (
        lambda: _step(_making(lambda m: m._replace(nu=jax.tree.map(lambda v: v.mean(0), m.nu)))),
        "mine gave a nu of shape () where the gradient's is (2,): must be the same, or 1 on some",
    ),
    "whole numbers for an average": (
        lambda: _step(_making(lambda m: m._replace(mu=jax.tree.map(lambda x: x > 0, m.mu)))),
        "mine gave a mu of dtype bool: must be floating or complex",
    ),
    "a second moment without its axes": (
        lambda: _step(_folding(lambda g: (g.sum(), g.sum()))),
        "mine gave a nu of shape () where the gradient's is (2,): must be the same, or 1 on some",
    ),
    "a second moment without its state": (
        lambda: _step(_folding(lambda g: g**2)),
        "mine's fold returned a",
    ),
    "an update without its state": (
        lambda: _step(
            al.chain(
                al.track_moments(),
                MomentsToMoments.from_update("mine", lambda p: (), lambda m, s, **_: m),
                al.precondition(),
            )
        ),
        "mine's update returned a Moments: must return two values",
    ),
    "a decay rate of one's own second moment": (
        lambda: al.track_moments(b2=stages.squares(0.9)._replace(rate=1.5)),
        "b2=1.5: must be",
    ),
    "a decay rate that a schedule gives": (
        lambda: _step(al.adam(1e-3, b2=lambda step: 1.5)),
        "a schedule's decay rate=1.5: must be",
    ),
    "complex gradients of real parameters": (
        lambda: al.adam(1e-3).update(
            jax.tree.map(lambda g: g.astype(jnp.complex64), GRADS),
            al.adam(1e-3).init(PARAMS),
            PARAMS,
        ),
        "the gradient at ['b'] is complex, the parameter real",
    ),
    "rounding before the learning rate": (
        lambda: al.chain(
            al.scale_by_adam(), stages.compensate_rounding(), al.scale_by_learning_rate(1e-3)
        ),
        "compensate_rounding stands before the learning rate, but acts on the update",
    ),
    "four learning rates": (
        lambda: al.chain(*[al.scale_by_learning_rate(0.1)] * 4),
        "4 learning rates each flip the sign",
    ),
    "rates left out": (
        lambda: _step(al.chain(al.track_moments(), stages.to_rate(), stages.sign())),
        "sign would ignore the rates; use apply_rate() after to_rate()",
    ),
    "decay without parameters": (
        lambda: _step(al.chain(al.add_independent_decay(0.1)), params=None),
        "params=None: add_independent_decay needs the parameters",
    ),
}


def _folding(fold):
    """A chain with a second moment of one's own, from a function of the gradient."""
    nu = stages.SecondMoment("mine", 0.9, jnp.zeros_like, lambda old, seen, weight: fold(seen.grad))
    return al.chain(al.track_moments(b2=nu), al.correct_bias(), al.precondition())


def _making(change):
    """A chain with a stage of one's own."""
    mine = MomentsToMoments.from_function("mine", change)
    return al.chain(al.track_moments(), mine, al.precondition())


def _step(tx, params=PARAMS):
    with jax.numpy_dtype_promotion("standard"):
        return tx.update(GRADS, tx.init(PARAMS), params)


def test_what_has_no_place_by_the_rate_or_no_rate_goes_anywhere():
    """A chain without a rate is a part of another; of two rates one on the right side will do."""
    rate = al.scale_by_learning_rate(1e-3)
    for built in (
        [al.scale_by_adam(), al.add_decayed_weights(0.1)],
        [al.scale_by_adam(), stages.lookahead()],
        [al.adam(1e-3), al.clip(1.0)],
        [al.scale_by_adam(), stages.ema(0.9), rate],
        [al.adam(1e-3), stages.ema(0.9)],
        [al.scale_by_learning_rate(1.0, flip_sign=False), al.add_decayed_weights(0.1), rate],
        [rate, al.add_independent_decay(0.1), al.scale_by_learning_rate(1.0, flip_sign=False)],
        [rate, rate, rate],
        [al.adam(1e-3), al.add_independent_decay(0.1), stages.lookahead()],
    ):
        al.chain(*built)


@pytest.mark.parametrize("name", MISFITS)
def test_a_misfit_is_a_sentence(name):
    build, message = MISFITS[name]
    with pytest.raises((ValueError, TypeError, AttributeError)) as caught:
        build()
    told = [str(caught.value), *getattr(caught.value, "__notes__", ())]
    assert any(message in line for line in told)


def test_a_chain_shows_its_stages():
    shown = repr(al.adam(1e-3))
    assert shown.startswith("GradientToDirection(track_moments · correct_bias · precondition · ")
    with pytest.raises(
        ValueError, match="the chain that ends in scale_by_learning_rate gives a di"
    ):
        al.chain(al.adam(1e-3), al.clip_by_global_norm(1.0))


def test_a_chain_knows_its_own_kind():
    assert isinstance(al.chain(al.clip_by_global_norm(1.0)), GradientToGradient)
    assert isinstance(al.chain(al.clip(1.0)), DirectionToDirection)
    assert isinstance(al.chain(al.scale_by_learning_rate(1.0)), DirectionToDirection)
    assert isinstance(al.sgd(0.1, momentum=0.9), DirectionToDirection)
    assert isinstance(al.track_moments(), GradientToMoments)
    assert isinstance(al.amsgrad_max(), MomentsToMoments)
    assert isinstance(al.chain(al.clip(1.0), al.adam(1e-3)), GradientToDirection)
    assert not isinstance(al.chain(optax.clip(1.0)), al.Stage)


def test_optax_transforms_fit_outside_the_moments():
    tx = al.chain(
        optax.clip(1.0), al.scale_by_adam(), optax.scale_by_trust_ratio(), optax.scale(-1.0)
    )
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, PARAMS)


def test_a_gradient_may_stand_for_a_direction():
    tx = al.chain(al.clip_by_global_norm(1e9), al.scale_by_learning_rate(0.5))
    updates, _ = tx.update(GRADS, tx.init(PARAMS))
    chex.assert_trees_all_close(updates, jax.tree.map(lambda g: -0.5 * g, GRADS))


def test_init_of_a_later_stage_sees_the_shape_of_what_comes():
    """A second moment kept per row stays per row in AMSGrad's maximum."""

    def per_row(updates, state, params=None, **_):
        moments, state = tracker.update(updates, state, params)
        nu = jax.tree.map(lambda v: v.mean(axis=-1, keepdims=True), moments.nu)
        return moments._replace(nu=nu), state

    tracker = al.track_moments()
    tx = al.chain(GradientToMoments(tracker.init, per_row), al.amsgrad_max(), al.precondition())
    state = tx.init({"w": jnp.ones((3, 2))})
    assert state[1].nu_max["w"].shape == (3, 1)
    updates, new = tx.update({"w": jnp.ones((3, 2))}, state)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, new)
    assert updates["w"].shape == (3, 2)


def test_extra_arguments_reach_the_stages_that_ask():
    seen = []

    def update(updates, state, params=None, *, value, **_):
        seen.append(value)
        return updates, state

    tx = al.chain(
        optax.GradientTransformationExtraArgs(optax.init_empty_state, update), al.sgd(1.0)
    )
    tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0)
    assert seen == [3.0]


def test_a_state_made_of_the_moments_is_named():
    """In a chain `init` is given Moments, which a first try takes for the parameters."""

    def update(moments, state, **_):
        return moments, state

    stage = stages.MomentsToMoments.from_update(
        "mine", lambda params: jax.tree.map(jnp.zeros_like, params), update
    )
    tx = al.chain(al.track_moments(), stage, al.precondition())
    with pytest.raises(TypeError, match=r"mine: its state holds the Moments .*gradient_like"):
        tx.init({"w": jnp.ones(2)})


@pytest.mark.parametrize(
    ("built", "message"),
    [
        ((al.track_moments(0.9, None), al.precondition()), "precondition needs the second moment"),
        ((al.track_moments(None), stages.sign()), "sign needs the first moment"),
        ((al.track_moments(), stages.apply_rate()), "apply_rate needs rates; put to_rate"),
        (
            (al.track_moments(), al.precondition(stages.epsilon_hat(1e-8))),
            "epsilon_hat needs corrected moments; put correct_bias",
        ),
    ],
)
def test_what_moments_lack_is_told_and_nothing_else(built, message):
    params = jnp.ones(3)
    tx = al.chain(*built)
    with pytest.raises(ValueError, match=message) as caught:
        tx.update(params, tx.init(params))  # without parameters, which are not what is missing
    assert not getattr(caught.value, "__notes__", ())


@pytest.mark.parametrize("name", ["adai", "dadapt_adam", "prodigy", "schedule_free_adamw"])
def test_a_weakly_typed_parameter_makes_no_second_program(name):
    tx = optimizers.example(name, 1e-3)
    params = jnp.asarray(1.0)
    assert params.weak_type
    step, state = jax.jit(tx.update), tx.init(params)
    forms = jax.tree.map(lambda x: (x.dtype, x.weak_type), state)
    _, new = step(params, state, params)
    assert jax.tree.map(lambda x: (x.dtype, x.weak_type), new) == forms
