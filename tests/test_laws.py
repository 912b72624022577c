"""Every optimizer against every law, and every law against transformations that break it."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from subjects import SUBJECTS

import adamlab as al
from adamlab import optimizers
from adamlab.testing import LAWS, Subject, check_law, check_laws, kept_laws

pytestmark = pytest.mark.rounding

PROPORTIONAL = "the step is proportional to the gradient, or a lower power of it"
DECAYED = "its decay is measured by the gradient's size"
LIMITED = "it limits, brakes or bounds by sizes of its own"
SHARED = "elements share a norm, a mean or a block"
CANCELS = "a small difference of large numbers: another order of rounding shows"
START = "its moments start at a size of their own"
EXCEPT = {
    (name, law): reason
    for reason, laws in {
        PROPORTIONAL: {
            "scale_invariant": [
                "sgd", "sgd(momentum)", "adai", "msvag", "radam", "ranger", "avagrad", "padam",
                "madgrad",
            ],
        },
        DECAYED: {"scale_invariant": ["adam_l2", "adams", "fadam"]},
        LIMITED: {"scale_invariant": ["adabound", "amsbound", "diffgrad", "mars"]},
        SHARED: {
            "elementwise": [
                "adafactor", "adam_mini", "adamw_8bit", "adanorm", "adashift", "came",
                "cautious_adamw", "fadam", "lamb", "mars", "novograd", "sm3", "soap",
            ],
            "local": [
                "adafactor", "adai", "adam_mini", "adams", "adamw_8bit", "avagrad", "came",
                "cautious_adamw",
                "fadam", "lamb", "mars", "novograd", "sm3", "soap", "stable_adamw",
            ],
        },
        CANCELS: {
            "jit": ["adamw_kahan", "msvag"],
            "scan": ["msvag"],
            "sharded": ["msvag"],
        },
        START: {
            "odd": ["yogi"], "rest": ["yogi"],
            "scale_invariant": ["yogi", "adagrad", "acprop"],
        },
        "without eps, a gradient whose nu is still zero is left as it is": {
            "scale_invariant": ["adopt", "sophia"],
        },
        "without eps, a gradient of rank one has rounding errors divided by their own size": {
            "scale_invariant": ["soap"],
        },
        "Nesterov's step takes the momentum of the step to come": {"scheduled": ["nadam"]},
        "a running sum of the largest float is no float": {"any_magnitude": ["sgd(momentum)"]},
        "it decides on new parameters, and its updates have their dtype": {
            "gradient_dtype": ["adamw_kahan", "adamw_stochastic_rounding"],
        },
    }.items()
    for law, names in laws.items()
    for name in names
}  # fmt: skip

# A bound is published for some; plain gradient descent counts no steps; AdaShift waits for ten.
NEEDS_NOTHING = set(LAWS) - {"bounded", "count_saturates", "steered"}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_optimizers_keep_the_laws_but_for_the_exceptions(name, law):
    if law == "pure":
        gc.freeze()  # its leak check collects garbage, which takes longer with every test before
    verdict = kept_laws(SUBJECTS[name], [law])[law]
    reason = EXCEPT.get((name, law))
    assert verdict.status != "not applicable" or law not in NEEDS_NOTHING, verdict.seen
    assert (verdict.status == "broken") == (reason is not None), verdict.seen or f"not so: {reason}"


def test_every_optimizer_is_in_the_table():
    assert {name.partition("(")[0] for name in SUBJECTS} == set(optimizers.names())


def test_every_exception_is_about_a_cell_of_the_table():
    assert {name for name, _ in EXCEPT} <= set(SUBJECTS)
    assert {law for _, law in EXCEPT} <= set(LAWS)


# The tests of the tests: transformations with one fault each.


class Memory(NamedTuple):
    """A state with one thing in it."""

    value: object


@jax.tree_util.register_pytree_node_class
class Opaque:
    """A state that JAX knows and Flax does not."""

    def __init__(self, value):
        self.value = value

    def tree_flatten(self):
        return [self.value], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def each(change, **options):
    """The stateless transformation that changes each leaf."""
    return optax.stateless(lambda u, p: jax.tree.map(change, u, **options))


def remembering(start, after=lambda value: value):
    """One that leaves the gradients alone and keeps `start`, changed by `after` in each step."""

    def update(updates, state, params=None):
        return updates, state._replace(value=after(state.value))

    return optax.GradientTransformation(lambda params: Memory(start()), update)


def remembering_gradients(change=lambda u, old: u):
    """One that changes each gradient by the one before, which it keeps as it came."""

    def update(updates, state, params=None):
        return jax.tree.map(change, updates, state.value), Memory(updates)

    return optax.GradientTransformation(
        lambda params: Memory(jax.tree.map(jnp.zeros_like, params)), update
    )


def infinite_where_it_comes_to_rest(u, old):
    return jnp.where((u == 0) & (old != 0), jnp.inf, u)


def counting_where_it_is_traced():
    def update(updates, state, params=None):
        return updates, Memory(state.value + isinstance(updates["w"], jax.core.Tracer))

    return optax.GradientTransformation(lambda params: Memory(jnp.zeros([], jnp.int32)), update)


def knowing_its_own_state():
    """A state with the same numbers in it is another to it."""
    made = []

    def init(params):
        made.append(jnp.zeros(2))
        return Memory(made[-1])

    def update(updates, state, params=None):
        known = any(state.value is one for one in made)
        return jax.tree.map(lambda u: u if known else -u, updates), state

    return optax.GradientTransformation(init, update)


def counting_in_python():
    calls = []

    def change(updates, params):
        calls.append(None)
        return jax.tree.map(lambda u: u * float(len(calls)), updates)

    return optax.stateless(change)


def leaking():
    escaped = []

    def change(updates, params):
        escaped.append(jax.tree.leaves(updates))
        return updates

    return optax.stateless(change)


def writing_into_its_state():
    def update(updates, state, params=None):
        state.value[...] += 1
        return updates, state

    return optax.GradientTransformation(lambda params: Memory(np.zeros(2)), update)


def branching_on_a_value():
    return each(lambda u: u if float(u.sum()) > 0 else -u)


def outside_of_jax():
    return each(lambda u: jax.pure_callback(np.negative, u, u))


def keeping_the_parameters():
    return optax.GradientTransformation(Memory, lambda u, s, p=None: (u, s))


def on_one_device():
    first = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return each(lambda u: jax.lax.with_sharding_constraint(u, first))


def forgetting_the_mesh():
    """Its state lies on no mesh until a sharded gradient is added."""
    return optax.GradientTransformation(
        lambda params: Memory(jnp.zeros((4, 1))),
        lambda u, s, p=None: (u, Memory(s.value + u["w"].max(1, keepdims=True))),
    )


def by_tuples():
    """Takes tuples for its own, and Optax's MaskedNode is one."""
    return each(lambda u: -u, is_leaf=lambda x: isinstance(x, tuple))


def of_a_local_class():
    class Local(NamedTuple):
        value: object

    return optax.GradientTransformation(
        lambda params: Local(jnp.zeros(2)), lambda u, s, p=None: (u, s)
    )


def of_a_python_class():
    return remembering(lambda: Opaque(jnp.zeros(2)))


def with_a_dot_in_a_name():
    """Orbax calls both leaves a.b, and gives one of them back twice."""
    return {"a.b": jnp.zeros(2), "a": {"b": jnp.ones(2)}}


def with_rate(make, **more):
    """A subject built by `make(learning_rate)`."""
    return Subject(make, {"learning_rate": 0.1, **more})


def reading_its_rate(learning_rate):
    return optax.sgd(float(learning_rate))


def refusing_schedules(learning_rate):
    return each(lambda u: -learning_rate * u)


def first_lane_only(learning_rate):
    @jax.custom_batching.custom_vmap
    def scale(rate, u):
        return -rate * u

    @scale.def_vmap
    def _(size, batched, rate, u):
        lanes = -rate[0] * u if batched[1] else -rate[0] * jnp.broadcast_to(u, (size, *u.shape))
        return lanes, True

    return each(lambda u: scale(learning_rate, u))


def doubling_an_array(learning_rate):
    factor = 2 if isinstance(learning_rate, jax.Array) else 1
    return each(lambda u: -factor * learning_rate * u)


class Counted(NamedTuple):
    """A state with a step count."""

    count: object


def asking_how_young_it_is(learning_rate, b2):
    """Its slope by b2 is NaN once 1 - b2**t is 1."""

    def update(updates, state, params=None):
        steps = (state.count + 1).astype(jnp.float32)
        mass = -jnp.expm1(steps * jnp.log(jnp.float32(b2)))
        rate = learning_rate * jnp.minimum(-jnp.log1p(-mass), 80.0)
        return jax.tree.map(lambda u: -rate * u, updates), Counted(state.count + 1)

    return optax.GradientTransformation(lambda params: Counted(jnp.zeros([], jnp.int32)), update)


def count_past_the_end():
    return optax.GradientTransformation(
        lambda params: Counted(jnp.zeros([], jnp.int32)),
        lambda u, s, p=None: (u, Counted(s.count + 1)),
    )


def by_the_largest():
    def change(updates, params):
        largest = functools.reduce(jnp.maximum, [u.max() for u in jax.tree.leaves(updates)])
        return jax.tree.map(lambda u: u / largest, updates)

    return optax.stateless(change)


def slow_adam(learning_rate):
    """The longest step is 7.106 times the rate, for gradients that grow by 1.01."""
    return al.adam(learning_rate, b1=0.99, b2=0.9999)


def dying_of_a_large_gradient():
    """Adam whose second moment is infinite once a square is."""

    def fold(nu, seen, weight):
        new = (1 - weight) * nu + weight * seen.grad**2
        return new, new

    rule = al.stages.SecondMoment("naive", 0.999, jnp.zeros_like, fold)
    return al.chain(al.track_moments(0.9, rule), al.correct_bias(), al.precondition())


def frozen_schedule(learning_rate):
    now = learning_rate(jnp.zeros([], jnp.int32)) if callable(learning_rate) else learning_rate
    return al.adam(now)


def early_schedule(learning_rate):
    if not callable(learning_rate):
        return al.adam(learning_rate)
    return al.adam(lambda count: learning_rate(count + 1))


def count_that_stands_still():
    adam = al.adam(1e-3)

    def update(updates, state, params=None):
        updates, (new, *rest) = adam.update(updates, state, params)
        return updates, (new._replace(count=state[0].count), *rest)

    return optax.GradientTransformation(adam.init, update)


def refusing_other_ranks():
    def check(updates, params):
        pairs = zip(jax.tree.leaves(updates), jax.tree.leaves(params), strict=True)
        if any(u.ndim != p.ndim for u, p in pairs):
            raise ValueError("another rank")
        return updates

    return optax.stateless(check)


def refusing(is_wrong):
    """One that refuses gradients whose leaves' names are wrong beside the parameters'."""

    def check(updates, params):
        if is_wrong({*updates}, {*params}):
            raise ValueError("other leaves")
        return updates

    return optax.stateless(check)


def breaking_at_the_last_count():
    def update(updates, state, params=None):
        count = optax.safe_increment(state.count)
        one = jnp.where(count == 2**31 - 1, 0.0, 1.0)
        return jax.tree.map(lambda u: u / one, updates), Counted(count)

    return optax.GradientTransformation(lambda params: Counted(jnp.zeros([], jnp.int32)), update)


def writing_into_its_argument():
    def update(updates, state, params=None):
        if isinstance(state.value, np.ndarray):
            state.value[...] = 1
        return updates, state

    return optax.GradientTransformation(lambda params: Memory(np.zeros(2)), update)


def summing_squares():
    def update(updates, state, params=None):
        sums = jax.tree.map(lambda s, u: s + u * u, state.value, updates)
        return jax.tree.map(jnp.zeros_like, updates), Memory(sums)

    return optax.GradientTransformation(
        lambda params: Memory(jax.tree.map(jnp.zeros_like, params)), update
    )


def one_ulp_higher(u):
    above = jnp.nextafter(u, jnp.full_like(u, jnp.inf))
    return jnp.where((u > 1e-30) & (u < 1e30), above, u)


def ascending(learning_rate):
    return optax.chain(al.adam(learning_rate), optax.scale(-1.0))


CULPRITS = [
    ("state_form", lambda: optax.contrib.ademamix(1e-3, mu_dtype=jnp.bfloat16)),
    ("updates_form", lambda: each(lambda u: u.astype(jnp.float32))),
    ("gradient_dtype", lambda: each(lambda u: u.astype(jnp.float32))),
    ("gradient_dtype", lambda: optax.trace(0.9)),
    ("gradient_dtype", remembering_gradients),
    ("one_trace", lambda: remembering(lambda: jnp.asarray(1.0), lambda v: v * jnp.ones([]))),
    ("strict_promotion", lambda: optax.adam(1e-3)),
    ("strict_promotion", lambda: each(lambda u: jnp.float32(2) * u)),  # in bfloat16
    ("pure", counting_in_python),
    ("pure", leaking),
    ("pure", writing_into_its_state),
    ("pure", writing_into_its_argument),
    ("jit", branching_on_a_value),
    ("jit", counting_in_python),
    ("jit", counting_where_it_is_traced),
    ("scan", counting_in_python),
    ("scan", lambda: optax.contrib.ademamix(1e-3, mu_dtype=jnp.bfloat16)),
    ("vmap", outside_of_jax),
    ("cond", lambda: remembering(lambda: jnp.zeros([]), lambda v: v[None])),
    ("donated", keeping_the_parameters),
    ("donated", lambda: optax.add_noise(0.1, 0.5, jax.random.key(0))),
    ("sharded", on_one_device),
    ("sharded", lambda: each(lambda u: u @ u.T @ u)),
    ("sharded", forgetting_the_mesh),
    ("leaf_order", lambda: optax.add_noise(0.1, 0.5, jax.random.key(0))),
    ("elementwise", optax.centralize),
    ("elementwise", optax.scale_by_trust_ratio),
    ("local", lambda: optax.clip_by_global_norm(0.1)),
    ("scale_invariant", lambda: optax.adam(1e-3, eps=1e-3)),
    ("scale_invariant", lambda: each(lambda u: jnp.sign(u) * (jnp.abs(u) < 2.0**13))),
    ("scale_invariant", lambda: each(lambda u: jnp.sign(u) * (jnp.abs(u) > 2.0**-13))),
    ("odd", lambda: each(jnp.abs)),
    ("odd", lambda: each(one_ulp_higher)),
    ("descends", lambda: with_rate(ascending)),
    ("steered", lambda: with_rate(lambda learning_rate: optax.sgd(1e-3 + 0 * learning_rate))),
    ("scheduled", lambda: with_rate(optax.adam, eps=1e-8)),
    # Folklore has it that Adam's step is at most the learning rate; Kingma & Ba 2015, section 2.1,
    # give (1 - b1) / sqrt(1 - b2), and gradients that grow exceed that as well.
    ("bounded", lambda: Subject(al.adam, {"learning_rate": 1e-3}, bound=1.0)),
    ("bounded", lambda: Subject(al.adam, {"learning_rate": 1e-3}, bound=0.1 / 1e-3**0.5)),
    ("bounded", lambda: Subject(slow_adam, {"learning_rate": 1e-3}, bound=6.0)),
    ("bounded", lambda: Subject(lambda: optax.adam(1e-3), bound=1.0, unit=1e-3)),
    ("rest", lambda: optax.adamw(1e-3)),
    ("zero_gradient", lambda: optax.adam(1e-3)),
    ("zero_gradient", lambda: remembering_gradients(infinite_where_it_comes_to_rest)),
    ("zero_gradient", lambda: remembering(lambda: jnp.zeros([]), lambda v: v / v)),
    ("debug_nans", lambda: optax.radam(1e-3)),
    ("meta_gradient", lambda: optax.adam(1e-3)),
    ("meta_gradient", lambda: with_rate(optax.adam)),
    ("meta_gradient", lambda: with_rate(asking_how_young_it_is, b2=0.9)),
    ("any_magnitude", lambda: each(lambda u: u * u / (1 + u * u))),
    ("any_magnitude", lambda: optax.trace(0.9)),
    ("any_magnitude", dying_of_a_large_gradient),
    ("any_magnitude", summing_squares),
    ("any_magnitude", lambda: each(lambda u: u * 4 if u.dtype == jnp.float16 else u)),
    ("any_magnitude", lambda: each(lambda u: u * 4 if u.dtype == jnp.bfloat16 else u)),
    ("count_saturates", count_past_the_end),
    ("count_saturates", count_that_stands_still),
    ("count_saturates", breaking_at_the_last_count),
    ("empty_tree", by_the_largest),
    ("scalar_leaves", lambda: each(lambda u: u / u.shape[0])),
    ("scalar_leaves", lambda: each(lambda u: u / min(u.ndim, 1))),
    ("zero_size_leaves", lambda: each(lambda u: u / jnp.max(jnp.abs(u)))),
    ("none_leaves", lambda: each(lambda u: 2 * u, is_leaf=lambda x: x is None)),
    ("foreign_tree", lambda: optax.sgd(0.1)),
    ("foreign_tree", lambda: refusing(lambda names, own: len(names) < len(own))),
    ("foreign_tree", lambda: refusing(lambda names, own: len(names) != len(own))),
    ("foreign_tree", lambda: refusing(lambda names, own: not names >= own)),
    ("foreign_shape", lambda: optax.adam(1e-3)),
    ("foreign_shape", refusing_other_ranks),
    ("masked", by_tuples),
    ("partition", by_tuples),
    ("multi_steps", counting_in_python),
    ("multi_steps", lambda: remembering(lambda: jnp.zeros([]), lambda v: v[None])),
    ("pickled", of_a_local_class),
    ("flax_bytes", of_a_python_class),
    ("orbax", lambda: remembering(with_a_dot_in_a_name)),
    *[(law, knowing_its_own_state) for law in ("pickled", "flax_bytes", "orbax")],
    ("traced_hyperparameters", lambda: with_rate(reading_its_rate)),
    ("traced_hyperparameters", lambda: with_rate(optax.adam, b2=0.999)),
    ("vmapped_hyperparameters", lambda: with_rate(first_lane_only)),
    ("scheduled", lambda: with_rate(refusing_schedules)),
    ("scheduled", lambda: with_rate(frozen_schedule)),
    ("scheduled", lambda: with_rate(early_schedule)),
    ("injected", lambda: with_rate(reading_its_rate)),
    ("injected", lambda: with_rate(doubling_an_array)),
]


@pytest.mark.parametrize(("law", "build"), CULPRITS, ids=[law for law, _ in CULPRITS])
def test_a_law_catches_its_culprit(law, build):
    with jax.numpy_dtype_promotion("standard"), pytest.raises(AssertionError) as caught:
        check_law(build(), law)
    assert caught.value.args[0].startswith(f"1 of 1 laws broken\n{law}: ")


def test_every_law_has_a_culprit():
    assert {law for law, _ in CULPRITS} == set(LAWS)


# The entry points.


def test_the_report_names_each_broken_law_and_what_was_seen():
    with pytest.raises(AssertionError) as caught:
        check_laws(each(jnp.abs), ["odd", "local", "empty_tree"])
    report = str(caught.value).splitlines()
    assert report[0] == "1 of 3 laws broken"
    assert report[1].startswith(
        "odd: for the other sign, minus updates as seen (0) and as they should be"
    )
    assert "'0/b': at [0] -" in report[1]
    assert report[2].strip() == f"the law: {' '.join(LAWS['odd'].says.split())}"


def test_what_a_transformation_raises_is_its_verdict_and_the_reports_cause():
    def refuse(updates, params):
        raise KeyError("mine")

    tx = optax.stateless(refuse)
    assert kept_laws(tx, ["odd"])["odd"].seen == "it raised KeyError: 'mine'"
    with pytest.raises(AssertionError) as caught:
        check_law(tx, "odd")
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_law_without_what_it_needs_does_not_apply():
    needy = [
        "bounded", "count_saturates", "traced_hyperparameters", "vmapped_hyperparameters",
        "scheduled", "injected",
    ]  # fmt: skip
    verdicts = kept_laws(optax.identity(), needy)
    assert {v.status for v in verdicts.values()} == {"not applicable"}
    assert all(v.seen for v in verdicts.values())
    check_laws(optax.identity(), needy)


def test_a_bound_needs_the_rate_that_it_is_counted_in():
    verdict = kept_laws(optax.adam(1e-3), ["bounded"], bound=1.0)["bounded"]
    assert verdict.status == "not applicable"
    assert "give a factory and its learning_rate" in verdict.seen
    without_rate = al.chain(al.track_moments(), al.correct_bias(), al.precondition())
    assert kept_laws(without_rate, ["bounded"], bound=7.28, unit=1.0)["bounded"].status == "kept"
    assert kept_laws(without_rate, ["bounded"], bound=7.26, unit=1.0)["bounded"].status == "broken"


@pytest.mark.parametrize("name", ["adam", "nadam", "radam"])
def test_slopes_are_finite_where_b1_is_zero(name):
    given = SUBJECTS[name]
    complements = {**given.hyperparameters, "b1": 1.0}
    check_law(Subject(given.make, complements), "meta_gradient")


def test_extra_arguments_reach_the_update():
    def update(updates, state, params=None, *, value, **extra):
        return jax.tree.map(lambda u: u * value.astype(u.dtype), updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    laws = ["state_form", "jit", "scan", "vmap", "masked", "multi_steps", "none_leaves"]
    check_laws(tx, laws, extra_args=lambda grads, params: {"value": jnp.float32(0.5)})
    assert "value" in kept_laws(tx, ["jit"])["jit"].seen


@pytest.mark.parametrize(
    ("law", "module"),
    [("orbax", "orbax.checkpoint"), ("flax_bytes", "flax")],
)
def test_without_the_package_a_law_does_not_apply(monkeypatch, law, module):
    monkeypatch.setitem(sys.modules, module, None)
    verdict = kept_laws(optax.sgd(0.1), [law])[law]
    assert verdict.status == "not applicable"
    assert "not installed" in verdict.seen


@pytest.mark.parametrize("law", ["any_magnitude", "odd", "scale_invariant"])
def test_what_hypothesis_draws_is_held_against_a_law(monkeypatch, law):
    """The fault shows in gradients that no law always tries: large, but not the largest."""

    def fault(g):
        drawn_alone = (g > 1e4) & (g < 1e30) & (g.dtype == jnp.float32)
        return jnp.where(drawn_alone, jnp.inf, jnp.sign(g))

    tx = each(fault)
    assert kept_laws(tx, [law])[law].status == "broken"
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert kept_laws(tx, [law])[law].status == "kept"


def test_importing_the_laws_is_light():
    code = "import sys, adamlab.testing; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"hypothesis", "orbax.checkpoint", "flax", "pytest"} & set(loaded)


def test_a_factory_a_transformation_and_a_subject_are_one():
    for subject in (al.adam(1e-3), lambda: al.adam(1e-3), Subject(lambda: al.adam(1e-3))):
        check_laws(subject, ["pure", "odd"])
    check_laws(al.adam, ["traced_hyperparameters"], hyperparameters={"learning_rate": 1e-3})


RATE = {"learning_rate": 1e-3}
BAD = [
    (lambda: check_laws(al.adam(1e-3), ["purr"]), ValueError, "did you mean 'pure'?"),
    (lambda: check_law(al.adam(1e-3), "vmaped"), ValueError, "unknown law 'vmaped'"),
    (lambda: check_laws(3), TypeError, "3 is neither a gradient transformation"),
    (lambda: check_laws(al.adam(1e-3), hyperparameters={"eps": 1.0}), TypeError, "need a factory"),
    (lambda: check_laws(Subject(lambda: 3), bound=1.0), TypeError, "to the Subject itself"),
    (lambda: check_laws(lambda: 3), TypeError, "make gave 3, not an optax.GradientTransformation"),
    (
        lambda: check_laws(optax.adam),
        TypeError,
        "hyperparameters={}: no transformation can be made from them: TypeError: adam() missing",
    ),
    (
        lambda: check_laws(optax.adam, hyperparameters={**RATE, "b3": 0.9}),
        TypeError,
        "hyperparameters={'learning_rate': 0.001, 'b3': 0.9}: no transformation can be made",
    ),
    (
        lambda: check_laws(optax.adam, hyperparamters=RATE),
        TypeError,
        "unknown detail 'hyperparamters': did you mean 'hyperparameters'?",
    ),
    (
        lambda: check_laws(optax.adam, hyperparameters={"learning_rate": lambda count: 1e-3}),
        TypeError,
        "must be a finite number, not a schedule",
    ),
    (lambda: Subject(al.adam, RATE, bound="10"), TypeError, "bound='10': must be a finite number"),
    (lambda: Subject(al.adam, RATE, bound=-1), ValueError, "bound=-1: must be a finite number >="),
    (lambda: Subject(al.adam, bound=1, unit=0), ValueError, "unit=0: must be a finite number > 0"),
    (lambda: check_laws(al.adam(1e-3), LAWS["odd"]), TypeError, "such as 'odd', not a Law"),
    (lambda: check_laws(al.adam(1e-3), [LAWS["odd"]]), TypeError, "such as 'odd', not a Law"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[m for _, _, m in BAD])
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_laws_say_what_they_assert():
    for name, law in LAWS.items():
        assert name == law.name
        assert law.says.endswith("."), name
        assert len(law.says) < 400, name
