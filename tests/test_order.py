"""Orders of stages that would compute something else than their names say: each is a sentence."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_laws import EXCEPT

import adamlab as al
from adamlab import optimizers, stages
from adamlab.stages import DirectionToDirection, MomentsToMoments

pytestmark = pytest.mark.rounding

PARAMS = {"w": jnp.ones((3, 2)), "b": jnp.array([1.0, -2.0])}
GRADS = {"w": jnp.full((3, 2), 0.5), "b": jnp.array([1.0, -2.0])}
COMPLEX = jax.tree.map(lambda p: p.astype(jnp.complex64), PARAMS)
ZEROS = jax.tree.map(jnp.zeros_like, GRADS)
RATE = al.scale_by_learning_rate(1.0)
UNSIGNED = al.scale_by_learning_rate(1e-3, flip_sign=False)
DECAY = al.add_decayed_weights(0.1)


def step(tx, grads=GRADS, params=PARAMS, **extra):
    return tx.update(grads, tx.init(PARAMS), params, **extra)[0]


def rates(*stages_of_rates, after=()):
    return al.chain(
        al.track_moments(), *stages_of_rates, stages.apply_rate(), *after,
        al.scale_by_learning_rate(1.0),
    )  # fmt: skip


WRONG_SIDE = "add_decayed_weights stands after the learning rate"
REFUSED = {
    "decay after a rate in a basis": (
        lambda: al.chain(stages.in_basis(al.adam(1e-3)), DECAY), WRONG_SIDE,
    ),
    "decay after a rate over groups": (
        lambda: al.chain(stages.group_small_leaves(al.adam(1e-3)), DECAY), WRONG_SIDE,
    ),
    "decay after an injected rate": (
        lambda: al.chain(optimizers.inject_hyperparams(al.adam)(1e-3), DECAY), WRONG_SIDE,
    ),
    "a second rate after an injected one": (
        lambda: al.chain(optimizers.inject_hyperparams(al.adam)(1e-3), RATE), "would ascend",
    ),
    "decay after the rate that flips the sign": (
        lambda: al.chain(al.adam(1e-3), DECAY, UNSIGNED), WRONG_SIDE,
    ),
    "decay of the update before the rate that flips the sign": (
        lambda: al.chain(UNSIGNED, al.add_independent_decay(0.1), RATE),
        "add_independent_decay stands before the learning rate",
    ),
    "an argument hidden in groups": (
        lambda: stages.in_basis(stages.group_small_leaves(optimizers.sophia(1e-3))),
        "needs hessian_diag, which cannot be turned into a basis",
    ),
    "a basis in a basis": (
        lambda: stages.in_basis(stages.in_basis(al.scale_by_adam())).init(PARAMS),
        "is an in_basis itself",
    ),
    "a rate replaced": (
        lambda: rates(stages.to_rate(), stages.scale_rate(1e-3), stages.rectify_rate(0.999)),
        "rectify_rate stands after scale_rate, whose learning rate it would replace",
    ),
    "a rate normalized away": (
        lambda: rates(stages.to_rate(), stages.scale_rate(1e-3), stages.normalize_rate()),
        "normalize_rate stands after scale_rate",
    ),
    "rates made twice": (
        lambda: rates(stages.to_rate(), stages.scale_rate(1e-3), stages.to_variance_rate()),
        "to_variance_rate would replace the rates of to_rate",
    ),
    "the root of magnitudes": (
        lambda: al.chain(al.track_moments(0.9, stages.largest(0.999)), al.precondition()),
        "precondition takes the root of the second moment, but that of track_moments(largest) is",
    ),
    "the root of means": (
        lambda: al.chain(
            al.track_moments(0.9, None), stages.track_curvature(stages.means(0.99)),
            stages.to_rate(), stages.apply_rate(),
        ),
        "to_rate takes the root of the second moment, but that of track_curvature(means) is",
    ),
    "the angle with magnitudes": (
        lambda: al.chain(
            al.track_moments(0.9, stages.largest(0.999)), stages.precondition_atan2()
        ),
        "precondition_atan2 takes the root",
    ),
    "a mixture corrected by the rate": (
        lambda: rates(stages.mix_slow_average(), stages.to_rate(), stages.scale_rate(1e-3)),
        "scale_rate stands after mix_slow_average",
    ),
    "a mixture into a moment that is tracked after the correction": (
        lambda: al.chain(
            al.track_moments(None, 0.999), al.correct_bias(), stages.track_mu(0.9),
            stages.mix_slow_average(), al.correct_bias(), al.precondition(),
        ),
        "correct_bias stands after mix_slow_average",
    ),
    "a variance of unlike averages": (
        lambda: al.chain(al.track_moments(), al.center_nu(), al.precondition(), RATE),
        "center_nu subtracts the squared mu from nu, which is a variance only for an",
    ),
    "a variance by a complement": (
        lambda: al.chain(
            al.track_moments(0.9, al.OneMinus(1e-3)), al.center_nu(), al.precondition(), RATE
        ),
        "center_nu subtracts",
    ),
    "a variance of sums": (
        lambda: al.chain(
            al.track_moments(0.9, stages.sums()), al.center_nu(), al.precondition(), RATE
        ),
        "center_nu subtracts",
    ),
    "a mixture beside rates that correct": (
        lambda: rates(stages.to_rate(), stages.scale_rate(1e-3), stages.mix_slow_average()),
        "mix_slow_average mixes into the averages what the rates of scale_rate will correct",
    ),
    "the root of magnitudes in a step's length": (
        lambda: al.chain(
            al.track_moments(0.9, stages.largest(0.999)), al.correct_bias(),
            al.precondition(stages.unrooted()), stages.add_stable_decay(0.1), RATE,
        ),
        "add_stable_decay takes the root",
    ),
    "decay after rates that hold the learning rate": (
        lambda: rates(stages.to_rate(), stages.scale_rate(1e-3), after=[DECAY]),
        "add_decayed_weights stands after scale_rate, whose direction holds the learning rate",
    ),
    "a trust ratio after rates that hold the learning rate": (
        lambda: rates(
            stages.to_rate(), stages.scale_rate(1e-3), after=[stages.scale_by_trust_ratio()]
        ),
        "scale_by_trust_ratio stands after scale_rate",
    ),
    "decay after an estimated rate": (
        lambda: al.chain(stages.scale_by_prodigy(), DECAY, RATE),
        "scale_by_prodigy takes a weight_decay of its own",
    ),
    "a mean of iterates weighed by a rate that is estimated": (
        lambda: al.chain(stages.scale_by_prodigy(b1=0.0), RATE, stages.schedule_free(1.0)),
        "schedule_free weighs each step by its learning rate, which scale_by_prodigy estimates",
    ),
    "decay after an estimated distance": (
        lambda: al.chain(stages.scale_by_dadapt(), DECAY, RATE),
        "scale_by_dadapt takes a weight_decay of its own",
    ),
    "a bias corrected in the rates and again": (
        lambda: rates(stages.to_rate(), stages.scale_rate(1e-3), al.correct_bias()),
        "correct_bias stands after scale_rate, whose rates correct the bias",
    ),
    "the size of a gradient beside uncorrected moments": (
        lambda: step(al.chain(
            al.track_moments(), al.precondition(), stages.scale_by_gradient_rms(), RATE
        )),
        "scale_by_gradient_rms needs corrected moments",
    ),
    "the size of a gradient beside moments corrected in the rates": (
        lambda: rates(
            stages.to_rate(), stages.scale_rate(1e-3), after=[stages.scale_by_gradient_rms()]
        ),
        "scale_by_gradient_rms needs corrected moments, and those of scale_rate are corrected in",
    ),
    "decay of rounded parameters": (
        lambda: al.chain(
            optimizers.adamw_kahan(1e-3, weight_decay=0.0), al.add_independent_decay(0.1)
        ),
        "add_independent_decay stands after compensate_rounding, which rounds the new parameters",
    ),
    "decay of parameters rounded at random": (
        lambda: al.chain(
            al.adam(1e-3), stages.round_stochastically(jax.random.key(0)),
            al.add_independent_decay(0.1),
        ),
        "put it before round_stochastically",
    ),
    "decay after slow weights": (
        lambda: al.chain(optimizers.lookahead_adam(1e-3), al.add_independent_decay(0.1)),
        "add_independent_decay stands after lookahead, which decides where the parameters go",
    ),
    "decay after iterates of one's own": (
        lambda: al.chain(RATE, stages.schedule_free(1.0), al.add_independent_decay(0.1)),
        "add_independent_decay stands after schedule_free",
    ),
    "slow weights of slow weights": (
        lambda: al.chain(optimizers.lookahead_adam(1e-3), stages.lookahead()),
        "lookahead stands after lookahead, which decides where the parameters go; use one of them",
    ),
    "a mask of the update's signs": (
        lambda: al.chain(al.adam(0.1), stages.cautious_mask()),
        "cautious_mask stands after the learning rate, which flips the signs that it compares",
    ),
    "an average of parameters that are still to move": (
        lambda: al.chain(RATE, stages.average_parameters(0.5), UNSIGNED),
        "scale_by_learning_rate stands after average_parameters, which looks at the new parameters",
    ),
    "momentum after rounding": (
        lambda: al.chain(optimizers.adamw_kahan(1e-3), stages.trace(0.9)),
        "trace stands after compensate_rounding",
    ),
    "a variance of a moment tracked later": (
        lambda: al.chain(
            al.track_moments(0.9, None), stages.track_nu(0.999), al.center_nu(), al.precondition()
        ),
        "center_nu subtracts",
    ),
    **{
        f"a variance of {rule.name}": (
            lambda rule=rule: al.chain(
                al.track_moments(0.9, rule), al.center_nu(), al.precondition()
            ),
            "center_nu subtracts",
        )
        for rule in (
            stages.deviations(0.9), stages.yogi(0.9), stages.previous(0.9, first=1.0),
            stages.factored(0.9),
        )
    },
    "a variance of a mixture": (
        lambda: al.chain(
            al.track_moments(0.9, 0.9), stages.nesterov(0.9), al.center_nu(), al.precondition()
        ),
        "center_nu subtracts",
    ),
    "a variance of a variance": (
        lambda: al.chain(
            al.track_moments(0.9, 0.9), al.center_nu(), al.center_nu(), al.precondition()
        ),
        "center_nu subtracts",
    ),
    "a variance of a window": (
        lambda: al.chain(
            stages.track_window(0.9, 3), stages.track_nu(0.9), al.center_nu(), al.precondition()
        ),
        "center_nu subtracts",
    ),
    "a variance of a mixture of a window": (
        lambda: al.chain(
            stages.track_window(0.9, 3), stages.change_mu("plus", jnp.add), stages.track_nu(0.9),
            al.center_nu(), al.precondition(),
        ),
        "center_nu subtracts",
    ),
    "another momentum to look ahead by": (
        lambda: al.chain(al.track_moments(0.9, None), stages.nesterov(0.5), stages.take_mu()),
        "nesterov takes mu to decay by 0.5, but track_moments was given 0.9: they must be the same",
    ),
    "a rate rectified for another decay": (
        lambda: rates(al.correct_bias(), stages.to_rate(), stages.rectify_rate(0.99)),
        "rectify_rate takes nu to decay by 0.99, but track_moments was given 0.999",
    ),
    "a share of noise for another decay": (
        lambda: al.chain(
            al.track_moments(0.9, 0.9), al.correct_bias(), stages.to_variance_rate(0.99),
            stages.apply_rate(),
        ),
        "to_variance_rate takes mu to decay by 0.99",
    ),
    "rates bounded before they are steps": (
        lambda: rates(stages.to_rate(), stages.bound_rate(), stages.scale_rate(1e-3)),
        "bound_rate bounds the final steps, but the learning rate is not in the rates yet",
    ),
    "rates limited before they are steps": (
        lambda: rates(stages.to_rate(), stages.limit_rate(), stages.scale_rate(1e-3)),
        "scale_rate stands after limit_rate, whose limit it would move",
    ),
    "a lengthened gradient that nothing averages": (
        lambda: rates(stages.lengthen_short_gradients(), al.correct_bias(), stages.to_rate()),
        "lengthen_short_gradients changes the gradient, which no stage after it averages",
    ),
    "a difference that the second moment does not see": (
        lambda: al.chain(
            al.track_moments(), al.correct_bias(), stages.add_difference(), al.precondition()
        ),
        "add_difference stands after track_moments, whose nu would not see how it changes",
    ),
    "decay of a gradient": (
        lambda: al.chain(DECAY, al.scale_by_adam(), RATE),
        "takes a gradient, but add_decayed_weights gives a direction",
    ),
    "momentum of a direction that Adam is given": (
        lambda: al.chain(al.scale_by_adam(), stages.trace(0.9), al.scale_by_adam()),
        "takes a gradient, but trace gives a direction",
    ),
    "an unknown mark": (
        lambda: stages.change_mu("mine", jnp.add, marks=("mix",)),
        "marks=('mix',): did you mean 'mixes'?",
    ),
    "confidence in groups": (
        lambda: stages.group_small_leaves(
            al.chain(al.scale_by_adam(), stages.scale_by_confidence(), RATE)
        ),
        "scale_by_confidence would look at whole groups",
    ),
    "a share of noise from unlike averages": (
        lambda: rates(al.correct_bias(), stages.to_variance_rate()), "to_variance_rate subtracts",
    ),
    "an average overwritten": (
        lambda: al.chain(
            al.track_moments(), stages.positive_negative_momentum(), al.precondition()
        ),
        "positive_negative_momentum finds the first moment tracked already",
    ),
    "a second moment overwritten": (
        lambda: al.chain(al.track_moments(), stages.track_nu(0.9), al.precondition()),
        "its average would be lost; leave it out of track_moments",
    ),
    "a square mixed in before the bias correction": (
        lambda: al.chain(
            al.track_moments(), stages.mix_square(0.7), al.correct_bias(), al.precondition()
        ),
        "correct_bias stands after mix_square, which mixes into the averages",
    ),
    "a square mixed into a maximum": (
        lambda: al.chain(
            al.track_moments(b2=stages.largest(0.9)), al.correct_bias(), stages.mix_square(0.5),
            al.precondition(stages.unrooted()),
        ),
        "mix_square takes the root of the second moment, but that of track_moments",
    ),
    "an average overwritten by variance": (
        lambda: al.chain(al.track_moments(), stages.track_mu_by_variance(), al.precondition()),
        "track_mu_by_variance finds the first moment tracked already",
    ),
    "epsilon hat without a correction": (
        lambda: step(al.chain(al.track_moments(), al.precondition(stages.epsilon_hat(0.1)))),
        "epsilon_hat needs corrected moments; put correct_bias() before it",
    ),
    "stable decay of uncorrected moments": (
        lambda: step(al.chain(
            al.track_moments(), al.precondition(), stages.add_stable_decay(0.01), RATE
        )),
        "add_stable_decay needs corrected moments",
    ),
    "the variance of uncorrected moments": (
        lambda: step(al.chain(
            al.track_moments(0.9, 0.9), stages.to_variance_rate(), stages.apply_rate()
        )),
        "to_variance_rate needs corrected moments",
    ),
    "a raw gradient beside a clipped one": (
        lambda: step(
            al.chain(al.clip_by_global_norm(1.0), optimizers.mars(1e-2)), previous_grad=GRADS
        ),
        "previous_grad: add_gradient_difference would compare it with a gradient that earlier",
    ),
    "an update without a leaf": (
        lambda: step(al.chain(
            DirectionToDirection.from_function("mine", lambda u: {"w": u["w"]}), RATE
        )),
        "the updates' tree is",
    ),
    "an update of another shape": (
        lambda: step(al.chain(
            DirectionToDirection.from_function("mine", lambda u: jax.tree.map(jnp.sum, u)), RATE
        )),
        "the update made of it ()",
    ),
    "a complex gradient without parameters": (
        lambda: step(
            al.adam(1e-3), jax.tree.map(lambda g: g.astype(jnp.complex64), GRADS), None
        ),
        "dtype float32 became complex64",
    ),
    "a real gradient of a complex parameter": (
        lambda: al.adam(1e-3).update(
            GRADS, al.adam(1e-3).init(COMPLEX), COMPLEX
        ),
        "the gradient at ['b'] is real, the parameter complex: they must be alike",
    ),
    "nothing to store": (
        lambda: stages.store_state(optimizers.laprop(1e-3), mu=jnp.bfloat16).init(PARAMS),
        "mu: it is None in the state",
    ),
    "a change to whole numbers": (
        lambda: step(al.chain(
            al.track_moments(), stages.change_mu("mine", lambda m, g: m > 0), al.precondition()
        )),
        "mine gave a mu of dtype bool: must be floating",
    ),
    "an unsigned rate": (
        lambda: al.adam(jnp.uint8(1)), "dtype=uint8): must be a finite number >= 0, in a",
    ),
    "a truth for a number": (lambda: al.adam(np.bool_(True)), "learning_rate=np.True_: must be"),
    "a complex number": (lambda: al.adam(np.complex64(1)), "must be a finite number >= 0"),
    "a complement out of range from a schedule": (
        lambda: step(al.adam(1e-3, b2=lambda _: al.OneMinus(-0.5))),
        "the complement of a schedule's decay rate=-0.5: must be",
    ),
    "a NumPy number out of range from a schedule": (
        lambda: step(al.adam(1e-3, b2=lambda _: np.float32(1.5))),
        "a schedule's decay rate=1.5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_order_is_a_sentence(name):
    build, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        build()
    assert message in str(caught.value)


ACCEPTED = {
    "a mixture that is dropped": lambda: al.chain(
        al.track_moments(),
        stages.mix_gradient(0.5),
        stages.drop_mu(),
        al.correct_bias(),
        al.precondition(),
    ),
    "a rate in a basis after decay": lambda: al.chain(
        stages.in_basis(al.scale_by_adam()), DECAY, RATE
    ),
    "an injected direction": lambda: al.chain(
        optimizers.inject_hyperparams(al.scale_by_adam)(), DECAY, RATE
    ),
    "magnitudes without a root": lambda: al.chain(
        al.track_moments(0.9, stages.largest(0.999)), al.precondition(stages.unrooted(1e-8))
    ),
    "a variance": lambda: al.chain(al.track_moments(0.9, 0.9), al.center_nu(), al.precondition()),
    "a variance of moments tracked anew": lambda: al.chain(
        al.track_moments(0.9, 0.999),
        stages.drop_mu(),
        stages.track_mu(0.999),
        al.center_nu(),
        al.precondition(),
    ),
    "a complement of the same rate": lambda: al.chain(
        al.track_moments(0.9, al.OneMinus(0.1)), al.center_nu(), al.precondition()
    ),
    "a momentum by its complement": lambda: al.chain(
        al.track_moments(0.9), stages.nesterov(al.OneMinus(0.1)), al.precondition()
    ),
    "a momentum by a schedule": lambda: al.chain(
        al.track_moments(0.9), stages.nesterov(lambda _: 0.5), al.precondition()
    ),
    "an average after slow weights after rounding": lambda: al.chain(
        al.adam(1e-3),
        stages.lookahead(),
        stages.compensate_rounding(),
        stages.average_parameters(0.9),
    ),
    "two averages of the parameters": lambda: al.chain(
        al.adam(1e-3), stages.average_parameters(0.9), stages.average_parameters(0.99)
    ),
    "slow weights in few bits": lambda: al.chain(
        al.adam(1e-3), stages.store_state(stages.lookahead(), slow=stages.EightBit())
    ),
    "a lengthened gradient that is preconditioned itself": lambda: al.chain(
        al.track_moments(None, 0.999),
        al.correct_bias(),
        stages.lengthen_short_gradients(),
        al.precondition(),
    ),
    "a lengthened gradient that is mixed in": lambda: al.chain(
        al.track_moments(),
        al.correct_bias(),
        stages.lengthen_short_gradients(),
        stages.mix_gradient(0.5),
        al.precondition(),
    ),
    "a mask of momentum": lambda: al.chain(stages.trace(0.9), stages.cautious_mask(), RATE),
    "a decay rate rounded to float32": lambda: al.chain(
        al.track_moments(0.9), stages.nesterov(np.float32(0.9)), al.precondition()
    ),
    "another library's after slow weights": lambda: al.chain(
        optimizers.lookahead_adam(1e-3), optax.keep_params_nonnegative()
    ),
    "limits of rates without a learning rate in them": lambda: rates(
        al.correct_bias(), stages.to_rate(), stages.limit_rate()
    ),
    "momentum of the gradient that Adam is given": lambda: al.chain(
        stages.trace(0.9), al.scale_by_adam(), RATE
    ),
    "a clipped gradient and its momentum": lambda: al.chain(
        al.chain(stages.clip_by_block_rms(1.0), stages.ema(0.9)), al.clip(1.0), al.adam(1e-3)
    ),
    "a denominator of one's own": lambda: al.chain(
        al.track_moments(0.9, stages.largest(0.999)),
        al.precondition(stages.Denominator("plus", lambda m: jax.tree.map(lambda v: v + 1, m.nu))),
    ),
    "a mask of signs after the rates": lambda: rates(
        stages.to_rate(), stages.scale_rate(1e-3), after=[stages.cautious_mask()]
    ),
    "squares again": lambda: al.chain(
        al.track_moments(0.9, None), stages.track_nu(0.999), al.precondition()
    ),
    "a rate rectified and then scaled": lambda: rates(
        stages.to_rate(), stages.rectify_rate(0.999), stages.scale_rate(1e-3)
    ),
    "a mixture after each correction": lambda: al.chain(
        al.track_moments(), al.correct_bias(), stages.mix_slow_average(), al.precondition()
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_right_order_is_not_refused(name):
    step(ACCEPTED[name]())


def test_the_mask_compares_with_the_gradient_whatever_the_averages_are_fed_with():
    """Lion's sign keeps its scale, Adan's difference and a window's delay do not show in it."""
    cautious = stages.cautious_mask()

    def last(*chained, course):
        tx = al.chain(*chained, cautious)
        state = tx.init(jnp.zeros(len(course[0])))
        for g in course:
            updates, state = tx.update(jnp.asarray(g), state)
        return updates

    mean = al.track_moments(0.9, None)
    lion = last(mean, stages.sign(), course=[[1.0] * 4, [1.0, -0.1, -0.1, -0.1]])
    np.testing.assert_array_equal(lion, [4.0, 0.0, 0.0, 0.0])
    fed = (mean, al.correct_bias(), stages.add_difference(0.92), stages.take_mu())
    assert last(*fed, course=[[3.0], [1.0]]) > 0
    window = (stages.track_window(0.9, 2), stages.take_mu())
    assert last(*window, course=[[-1.0], [1.0], [1.0]]) > 0


def test_the_mask_sees_the_gradient_that_was_averaged():
    """With the penalty that earlier stages have added, momentum or not."""
    params, grads = jnp.array([1.0, -2.0, 3.0]), jnp.array([0.5, -0.5, 0.2])

    def last(*chained):
        tx = al.chain(stages.add_l2(1.0), *chained, stages.cautious_mask(), RATE)
        state = tx.init(params)
        for sign in (1.0, -0.3):
            updates, state = tx.update(sign * grads, state, params)
        return updates

    assert (last(al.track_moments(), al.correct_bias(), al.precondition()) != 0).all()
    assert (last(stages.trace(0.9)) != 0).all()


def test_a_raw_gradient_may_be_left_out_after_a_change():
    """MARS then takes the previous step's gradient, changed as this one is."""
    step(al.chain(al.clip_by_global_norm(1.0), optimizers.mars(1e-2)))
    step(optimizers.mars(1e-2), previous_grad=GRADS)


# What shows on some weights or gradients alone, or in large leaves.
SELDOM = {"adamp", "stable_adamw", "adamw_8bit"}


@pytest.mark.parametrize("name", optimizers.names())
def test_what_looks_at_whole_leaves_is_not_grouped(name):
    """What the laws found not to be element-wise."""
    if (name, "elementwise") not in EXCEPT and name not in SELDOM:
        stages.group_small_leaves(optimizers.example(name))
        return
    with pytest.raises(ValueError, match="would look at whole groups in place of leaves"):
        stages.group_small_leaves(optimizers.example(name))


def test_ones_own_change_of_whole_leaves_is_not_grouped():
    def unit(by_leaf):
        mine = stages.change_mu(
            "unit", lambda m, g: m / jnp.abs(m).max(), marks=("mixes", *(("by leaf",) * by_leaf))
        )
        return al.chain(al.track_moments(), al.correct_bias(), mine, stages.take_mu())

    stages.group_small_leaves(unit(False))
    with pytest.raises(ValueError, match="unit would look at whole groups in place of leaves"):
        stages.group_small_leaves(unit(True))


def test_wrappers_say_what_they_wrap():
    grouped = stages.group_small_leaves(optimizers.sophia(1e-3))
    assert stages.parts_of(grouped)[0].startswith("group_small_leaves(track_moments")
    injected = optimizers.inject_hyperparams(al.adam)(1e-3)
    assert stages.parts_of(injected) == stages.parts_of(al.adam(1e-3))


def test_a_function_for_a_mask_is_given_the_parameters():
    def large(params):
        return jax.tree.map(lambda p: bool((abs(p) > 0.5).all()), params)

    tx = al.chain(al.add_decayed_weights(0.5, mask=large), al.scale_by_learning_rate(1.0))
    params = {"w": PARAMS["w"], "b": jnp.zeros(2)}
    updates, _ = tx.update(ZEROS, tx.init(params), params)
    np.testing.assert_array_equal(updates["w"], -0.5 * params["w"])
    np.testing.assert_array_equal(updates["b"], params["b"])


def test_what_is_injected_tells_what_it_is_whatever_it_is_given():
    def of_arrays(learning_rate, horizon):
        return al.adam(learning_rate.astype(jnp.float32) * jnp.exp(-1 / horizon))

    rate = optax.constant_schedule(1e-3)
    for made in (
        optimizers.inject_hyperparams(of_arrays)(1e-3, 0.0),
        optimizers.inject_hyperparams(of_arrays)(rate, 1.0),
        optimizers.inject_hyperparams(optimizers.adamax)(1e-3, eps=rate),
    ):
        with pytest.raises(ValueError, match=WRONG_SIDE):
            al.chain(made, DECAY)


def test_a_second_moment_may_be_injected():
    tx = optimizers.inject_hyperparams(al.track_moments)(0.9, stages.yogi(0.999))
    tx.update(GRADS, tx.init(PARAMS), PARAMS)


def test_small_storage_takes_a_tree_without_leaves():
    optimizers.adamw_8bit(1e-3).init({})
    optax.masked(optimizers.adamw_8bit(1e-3), {"w": False, "b": False}).init(PARAMS)


def test_an_injected_decay_rate_out_of_range_is_named():
    tx = optimizers.inject_hyperparams(al.adam)(1e-3)
    state = tx.init(PARAMS)
    state.hyperparams["b2"] = jnp.float32(1.5)
    with pytest.raises(ValueError, match=r"b2=1\.5"):
        tx.update(GRADS, state, PARAMS)


def test_a_stage_of_ones_own_may_be_marked_as_a_mixture():
    mine = MomentsToMoments.from_function("mine", lambda m: m, marks=("mixes",))
    with pytest.raises(ValueError, match="correct_bias stands after mine"):
        al.chain(al.track_moments(), mine, al.correct_bias(), al.precondition())


def test_optax_wrappers_still_take_the_stages():
    tx = optax.chain(optax.masked(al.adam(1e-3), {"w": True, "b": False}), optax.scale(1.0))
    assert (step(tx)["b"] == GRADS["b"]).all()


def test_a_mask_in_a_chain_within_a_chain_compares_with_the_gradient():
    inner = al.chain(stages.cautious_mask(), al.add_decayed_weights(0.0))
    tx = al.chain(al.track_moments(0.9, None), stages.take_mu(), inner)
    params = jnp.zeros(2)
    state = tx.init(params)
    for g in (1.0, -0.1):
        update, state = tx.update(jnp.full(2, g), state, params)
    np.testing.assert_array_equal(update, 0)


def test_moments_of_which_one_is_corrected_are_refused():
    tx = al.chain(
        al.track_moments(None, 0.9), al.correct_bias(), stages.track_mu(0.9),
        stages.to_variance_rate(0.9), stages.apply_rate(),
    )  # fmt: skip
    with pytest.raises(ValueError, match="to_variance_rate needs corrected moments"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_rates_that_are_nearly_alike_are_two():
    with pytest.raises(ValueError, match=r"decay by 0\.9995, but track_moments was given 0\.999"):
        al.chain(
            al.track_moments(0.9, 0.999), al.correct_bias(), stages.to_rate(),
            stages.rectify_rate(0.9995), stages.apply_rate(),
        )  # fmt: skip
