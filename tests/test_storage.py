"""Moments in 16 and 8 bits, and parameters in bfloat16 that lose no small steps."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import fixture

import adamlab as al
from adamlab import optimizers as opt
from adamlab import stages
from adamlab.stages import EightBit, store_state
from adamlab.stages.eight_bit import QuantizedBlocks, dequantize, quantize

pytestmark = pytest.mark.rounding

REFERENCES = Path(__file__).parent / "references"
SIZE = 8192


def _bytes(state):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state) if leaf.size > 1)


def _run(tx, params, grads):
    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        with jax.numpy_dtype_promotion("standard"):
            return (optax.apply_updates(params, updates), state), None

    return jax.jit(lambda c: jax.lax.scan(step, c, grads)[0])((params, tx.init(params)))


def _gradients(steps, size=SIZE):
    """Gradients of fixed mean and scale for each element, the scales four decades apart."""
    draw = np.random.default_rng(3)
    scale = np.geomspace(1e-2, 1e2, size)
    mean = draw.normal(size=size)
    return jnp.asarray((mean + draw.normal(size=(steps, size))) * scale, jnp.float32)


def _there_and_back(x, block, signed=True):
    return np.asarray(dequantize(quantize(x, block, signed=signed), block, signed=signed))


@pytest.mark.parametrize("signed", [True, False])
def test_the_codes_are_the_nearest(signed):
    x = jax.random.normal(jax.random.key(0), (3, 4096))
    x = x if signed else x**2
    kept = quantize(x, 256, signed=signed)
    assert isinstance(kept, QuantizedBlocks)
    assert (kept.codes.shape, kept.codes.dtype) == (x.shape, jnp.uint8)
    back = _there_and_back(x, 256, signed).reshape(48, 256)
    blocks = np.asarray(x).reshape(48, 256)
    scale = np.abs(blocks).max(1, keepdims=True)
    np.testing.assert_array_equal(np.reshape(kept.scale, (-1, 1)), scale)
    # The coarsest gap of the top decade is 0.9 / 64 (signed) or 0.9 / 128 of the block's largest.
    assert (np.abs(back - blocks) <= scale * 0.9 / (64 if signed else 128) * 0.51).all()
    assert (back.max(1) == scale[:, 0]).mean() > (0.3 if signed else 0.99)


def test_small_magnitudes_keep_their_size():
    """The map's point: an element a thousand times smaller than its block's largest is not lost."""
    x = jnp.concatenate([jnp.ones(1), jnp.full(4095, 1e-3)])
    np.testing.assert_allclose(_there_and_back(x, 4096)[1:], 1e-3, rtol=0.1)


def _magnitudes(length):
    return st.lists(st.floats(0, 2.0**100, width=32), min_size=length, max_size=length)


@given(st.sampled_from([1, 16, 37]).flatmap(_magnitudes))  # each length is compiled anew
def test_a_second_moment_is_never_rounded_to_zero(values):
    x = jnp.asarray(values, jnp.float32)
    back = _there_and_back(x, 16, signed=False)
    assert back.shape == x.shape
    normal = np.asarray(x) > 1e-30
    assert (back[normal] > 0).all()
    assert (back[np.asarray(x) == 0] == 0).all()


def test_eight_bits_take_two_bytes_a_parameter_and_little_leaves_stay():
    params = {"large": jnp.zeros(SIZE), "small": jnp.zeros(100)}
    state = opt.adamw_8bit(1e-3).init(params)
    assert _bytes(state) == SIZE * 2 + 2 * 4 * SIZE // 256 + 2 * 4 * 100
    assert _bytes(al.adamw(1e-3).init(params)) == 8 * (SIZE + 100)
    small = {"w": jnp.ones(4095)}
    grads = {"w": jnp.outer(jnp.linspace(-1, 1, 20), jnp.ones(4095))}
    ours, _ = _run(opt.adamw_8bit(1e-2), small, grads)
    plain, _ = _run(al.adamw(1e-2, weight_decay=1e-2), small, grads)
    np.testing.assert_array_equal(ours["w"], plain["w"])


def test_eight_bits_step_nearly_as_float32_does():
    grads = _gradients(100)
    start = jnp.zeros(SIZE)
    exact, _ = _run(al.adam(1e-2), start, grads)
    near, _ = _run(store_state(al.adam(1e-2), mu=EightBit(), nu=EightBit()), start, grads)
    apart = np.linalg.norm(near - exact) / np.linalg.norm(exact)
    assert 1e-4 < apart < 0.05


@pytest.mark.parametrize("small", [{"mu"}, {"nu"}, {"mu", "nu"}])
@pytest.mark.parametrize("adam", [al.adam, optax.adam])
def test_bfloat16_moments_keep_their_dtype_and_the_way(adam, small):
    grads, start = _gradients(300), jnp.zeros(SIZE)
    near, state = _run(store_state(adam(1e-2), **dict.fromkeys(small, jnp.bfloat16)), start, grads)
    for name in ("mu", "nu"):
        kept = jnp.bfloat16 if name in small else jnp.float32
        assert optax.tree.get(state, name).dtype == kept
    exact, _ = _run(al.adam(1e-2), start, grads)
    assert 1e-5 < np.linalg.norm(near - exact) / np.linalg.norm(exact) < 0.02


STORED = {
    "amsgrad": ["mu", "nu", "nu_max"],
    "ademamix": ["mu", "mu_slow"],
    "adan": ["difference", "nu"],
    "adopt": ["ema", "nu"],
    "adam_mini": ["mu", "nu"],
    "adapnm": ["mu", "mu_previous"],
    "signum": ["mu"],
    "sophia": ["mu", "nu"],
    "soap": ["mu", "nu"],
    "lookahead_adam": ["mu", "nu"],
}


@pytest.mark.parametrize("storage", [jnp.bfloat16, EightBit()], ids=["bfloat16", "8 bits"])
@pytest.mark.parametrize("name", STORED)
def test_whatever_a_variant_averages_can_be_stored_small(name, storage):
    fields, build = STORED[name], getattr(opt, name)
    start = {"w": jnp.ones((64, 128)), "b": jnp.ones(5)}
    draws = _gradients(40, 64 * 128 + 5)
    grads = {"w": draws[:, 5:].reshape(-1, 64, 128), "b": draws[:, :5]}

    def run(tx):
        def step(carry, g):
            params, state = carry
            curvature = {"hessian_diag": jax.tree.map(jnp.abs, g)} if name == "sophia" else {}
            updates, state = tx.update(g, state, params, **curvature)
            return (optax.apply_updates(params, updates), state), None

        return jax.jit(lambda c: jax.lax.scan(step, c, grads)[0])((start, tx.init(start)))

    exact, full = run(build(1e-2))
    near, state = run(store_state(build(1e-2), **dict.fromkeys(fields, storage)))
    for field in fields:
        found = optax.tree.get_all_with_path(state, field)
        large = [x for x in jax.tree.leaves([tree for _, tree in found]) if x.size > 4096]
        assert {x.dtype for x in large} <= {jnp.dtype(jnp.uint8), jnp.dtype(jnp.bfloat16)}
    if name != "adam_mini":  # whose nu is a number for a row, too few to be coded
        assert _bytes(state) < 0.9 * _bytes(full)
    moved = np.linalg.norm(exact["w"] - start["w"])
    apart = np.linalg.norm(near["w"] - exact["w"]) / moved
    assert 1e-6 < apart < (0.02 if storage == jnp.bfloat16 else 0.2)


def test_a_slow_average_in_bfloat16_moves():
    """To the nearest it would stand still: a step of 1e-4 is below half a unit."""
    tx = al.chain(
        stages.track_moments(0.9, None),
        store_state(stages.mix_slow_average(0.9999, 1.0), mu_slow=jnp.bfloat16),
        stages.take_mu(),
    )
    state = tx.init(jnp.zeros(64))
    state, _ = jax.lax.scan(lambda s, _: (tx.update(jnp.ones(64), s)[1], None), state, length=5000)
    slow = optax.tree.get(state, "mu_slow").astype(jnp.float32)
    np.testing.assert_allclose(slow, 1 - 0.9999**5000, rtol=0.02)


def test_what_is_stored_is_a_field_by_its_name():
    params = jnp.ones(3)
    with pytest.raises(ValueError, match=r"numu: the state has no such field; did you mean 'nu'\?"):
        store_state(al.adam(1e-3), numu=jnp.bfloat16).init(params)
    with pytest.raises(ValueError, match=r"count: in the state it is int32: must be floating"):
        store_state(al.adam(1e-3), count=jnp.bfloat16).init(params)
    with pytest.raises(ValueError, match=r"name a field and its storage, such as mu=jnp\.b"):
        store_state(al.adam(1e-3))
    with pytest.raises(TypeError, match=r"transform=.*must be a gradient transformation"):
        store_state(al.adam, mu=jnp.bfloat16)
    with pytest.raises(TypeError, match=r"mu_dtype=.*: adam has no such argument; stages.store_st"):
        al.adam(1e-3, mu_dtype=jnp.bfloat16)


def test_a_stage_stays_the_stage_that_it_is():
    stored = store_state(stages.track_moments(), nu=jnp.bfloat16)
    assert isinstance(stored, stages.GradientToMoments)
    tx = al.chain(stored, stages.correct_bias(), stages.precondition())
    assert stages.parts_of(tx) == ("track_moments", "correct_bias", "precondition")
    with pytest.raises(ValueError, match="takes moments, but the chain is fed with gradients"):
        al.chain(store_state(stages.amsgrad_max(), nu_max=jnp.bfloat16), stages.precondition())
    curved = store_state(opt.sophia(1e-3), mu=jnp.bfloat16)
    assert stages.extra_args_of(curved) == ("hessian_diag",)


def test_a_field_is_found_in_whatever_the_state_is_kept_in():
    inner = al.scale_by_adam()
    listed = optax.GradientTransformation(
        lambda params: [inner.init(params)],
        lambda updates, state, params=None: (
            (new := inner.update(updates, state[0], params))[0], [new[1]]
        ),
    )  # fmt: skip
    tx = store_state(listed, mu=jnp.bfloat16)
    state = tx.init(jnp.ones(4))
    assert state.inner[0][0].mu.dtype == jnp.bfloat16
    _, state = tx.update(jnp.ones(4), state)
    assert state.inner[0][0].mu.dtype == jnp.bfloat16


def test_sophias_curvature_in_8_bits_may_be_negative():
    """Were -1 kept as 0, the curvature of 0.2 that follows would make the last step short."""
    params, grads = jnp.ones(4), jnp.full(4, 1e-6)
    whole = opt.sophia(1e-3, weight_decay=0.0, every=1)
    for tx in (whole, store_state(whole, nu=EightBit(4, 0))):
        state = tx.init(params)
        for curvature in (-1.0, 0.2):
            updates, state = tx.update(grads, state, params, hessian_diag=jnp.full(4, curvature))
        np.testing.assert_allclose(updates, -1e-3)  # where there is no curvature it is clipped


def test_a_mask_around_or_within_leaves_the_rest_alone():
    params = {"w": jnp.ones((64, 80)), "b": jnp.ones(5000)}
    mask = {"w": True, "b": False}
    small = {"mu": EightBit(), "nu": EightBit()}
    around = optax.masked(store_state(al.adam(1e-3), **small), mask)
    within = store_state(optax.masked(al.adam(1e-3), mask), **small)
    for tx in (around, within):
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(params, state, params)
        np.testing.assert_allclose(updates["w"], -1e-3, rtol=0.02)
        np.testing.assert_array_equal(updates["b"], params["b"])
        assert _bytes(state) == 2 * 64 * 80 + 2 * 4 * 64 * 80 // 256


@pytest.mark.parametrize("b2", [0.99, 0.999, 0.9999])
def test_a_bfloat16_second_moment_decays(b2):
    """To the nearest it would stay at 1 for ever: the step is below half a unit."""
    tx = store_state(stages.track_moments(None, b2), nu=jnp.bfloat16)
    state = optax.tree.set(tx.init(jnp.zeros(64)), nu=jnp.ones(64, jnp.bfloat16))
    steps = round(1 / (1 - b2))

    def step(state, _):
        return tx.update(jnp.zeros(64), state)[1], None

    state, _ = jax.lax.scan(step, state, length=steps)
    nu = np.asarray(optax.tree.get(state, "nu"), np.float32)
    np.testing.assert_allclose(nu, b2**steps, rtol=0.05)


def test_bfloat16_parameters_keep_a_float32_second_moment():
    tx = al.adam(1e-2)
    state = tx.init(jnp.zeros(4, jnp.bfloat16))
    assert optax.tree.get(state, "nu").dtype == jnp.float32


@pytest.mark.parametrize("storage", [jnp.int8, "what", 7])
def test_a_storage_that_is_none_is_refused(storage):
    with pytest.raises(TypeError, match=r"nu=.*: must be a floating dtype or EightBit"):
        store_state(stages.track_moments(), nu=storage)
    with pytest.raises(ValueError, match=r"^block=0: must be a whole number >= 1"):
        EightBit(0)
    with pytest.raises(ValueError, match=r"^min_size=-1: must be a whole number >= 0"):
        opt.adamw_8bit(1e-3, min_size=-1)


@pytest.mark.parametrize("storage", [EightBit(64, 0), jnp.bfloat16])
def test_a_second_moment_that_may_be_negative_keeps_its_sign(storage):
    grads = _gradients(200, 256)
    means = {}
    for name, kept in {"exact": None, "near": storage}.items():
        tx = stages.track_moments(None, stages.means(0.99))
        tx = tx if kept is None else store_state(tx, nu=kept)

        def step(state, g, tx=tx):
            moments, state = tx.update(g, state)
            return state, moments.nu

        means[name] = jax.lax.scan(step, tx.init(grads[0]), grads)[1][-1]
    assert (means["exact"] < 0).mean() > 0.3
    scale = jnp.abs(means["exact"]).reshape(-1, 64).max(1).repeat(64)
    assert (jnp.abs(means["near"] - means["exact"]) < 0.1 * scale).all()
    large = jnp.abs(means["exact"]) > 0.2 * scale
    np.testing.assert_array_equal(jnp.sign(means["near"])[large], jnp.sign(means["exact"])[large])


def test_a_first_moment_keeps_both_parts_of_a_complex_number():
    params = jnp.ones(3, jnp.complex64)
    adam = al.adam(1e-3)
    message = (
        r"mu=bfloat16: in the state it is complex64, so its storage must be a complex dtype or"
    )
    with pytest.raises(TypeError, match=message):
        store_state(adam, mu=jnp.bfloat16).init(params)
    with pytest.raises(
        TypeError, match=r"mu=complex64: in the state it is float32, .* a real dtype"
    ):
        store_state(adam, mu=jnp.complex64).init({"w": jnp.ones(3)})
    with pytest.raises(TypeError, match=r"nu=.*complex64.*: must be a floating dtype"):
        store_state(adam, nu=jnp.complex64)
    for storage in (jnp.complex64, EightBit(2, 0)):
        tx = store_state(adam, mu=storage)
        updates, _ = tx.update(1j * params, tx.init(params))
        np.testing.assert_allclose(updates, -1e-3j, rtol=1e-5)


def test_a_decay_rate_in_bfloat16_is_refused():
    with pytest.raises(TypeError, match=r"b2 came in bfloat16, too narrow for rates near 1"):
        al.adam(1e-3, b2=jnp.bfloat16(0.999))

    def run(b2):
        tx = al.adam(1e-3, b2=b2)
        return tx.update(jnp.ones(2), tx.init(jnp.ones(2)))[0]

    with pytest.raises(TypeError, match=r"came in bfloat16"):
        jax.jit(run)(jnp.bfloat16(0.999))
    assert jnp.isfinite(jax.jit(lambda c: run(al.OneMinus(c)))(jnp.bfloat16(0.001))).all()


def _drift(tx, steps=2000):
    """Where 1.0 in bfloat16 gets by equal steps that are a sixteenth of its unit."""
    start = jnp.ones(256, jnp.bfloat16)
    grads = jnp.ones((steps, 256), jnp.bfloat16)
    end, _ = _run(tx, start, grads)
    assert end.dtype == jnp.bfloat16
    return np.asarray(end, np.float64)


def test_small_steps_are_lost_without_compensation():
    rate = 2.0**-12
    assert (_drift(al.adam(rate)) == 1).all()
    wanted = 1 - 2000 * rate
    kahan = _drift(stages.chain(al.adam(rate), stages.compensate_rounding()))
    np.testing.assert_allclose(kahan, wanted, atol=2**-8)
    np.testing.assert_array_equal(_drift(opt.adamw_kahan(rate, weight_decay=0.0)), kahan)
    stage = stages.round_stochastically(jax.random.key(0))
    stochastic = _drift(stages.chain(al.adam(rate), stage))
    assert abs(stochastic.mean() - wanted) < 4 * stochastic.std() / 16
    assert stochastic.std() > 0
    named = opt.adamw_stochastic_rounding(rate, jax.random.key(0), weight_decay=0.0)
    np.testing.assert_array_equal(_drift(named), stochastic)


def test_kahan_stays_near_its_reference():
    """optimi's AdamW with Kahan sums, which keeps the second moment in bfloat16 as well."""
    about = json.loads((REFERENCES / "trajectories.json").read_text())["adamw_kahan"]
    rate = about["hyperparameters"]["lr"]
    with np.load(REFERENCES / "trajectories.npz") as data:
        stored = {leaf: data[f"adamw_kahan/{leaf}"][-1] for leaf in fixture.SHAPES}
    decay = about["hyperparameters"].get("weight_decay", 0.0)
    tx = opt.adamw_kahan(rate, 0.9, 0.99, weight_decay=decay)

    def narrow(tree):
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), tree)

    end, _ = _run(tx, narrow(fixture.START), narrow(fixture.GRADIENTS))
    for leaf, theirs in stored.items():
        ours = np.asarray(end[leaf], np.float64)
        moved = np.abs(theirs - fixture.START[leaf]).max()
        assert np.abs(ours - theirs).max() < 0.2 * moved


def test_eight_bits_step_as_their_reference():
    """torchao's AdamW8bit, whose map was given -1; what lies half-way may go another way."""
    with np.load(REFERENCES / "trajectories.npz") as data:
        theirs = data["adamw_8bit/blocks"]
    hyper = json.loads((REFERENCES / "trajectories.json").read_text())["adamw_8bit"][
        "hyperparameters"
    ]
    b1, b2 = hyper["betas"]
    start = jnp.asarray(fixture.BLOCKS_START["blocks"], jnp.float32)
    grads = jnp.asarray(fixture.BLOCKS_GRADIENTS["blocks"], jnp.float32)

    def apart(optimizer):
        tx = optimizer(hyper["lr"], b1, b2, hyper["eps"], weight_decay=hyper["weight_decay"])

        def step(carry, g):
            params, state = carry
            updates, state = tx.update(g, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params[fixture.SHOWN]

        path = jax.jit(lambda c: jax.lax.scan(step, c, grads)[1])((start, tx.init(start)))
        gaps = np.abs(np.asarray(path, np.float64)[np.array(fixture.SAVED) - 1] - theirs)
        return gaps / np.abs(theirs[-1] - fixture.STARTS["blocks"]).max()

    ours, in_full = apart(opt.adamw_8bit), apart(opt.adamw)
    assert ours[:5].max() < 1e-5
    assert np.mean(ours[-1] > 1e-5) < 0.02
    assert np.mean(in_full[-1] > 1e-4) > 0.9


def test_stochastic_rounding_leaves_float32_alone():
    params = jnp.ones(8)
    grads = jnp.linspace(-1, 1, 8)[None].repeat(5, 0)
    key = jax.random.key(1)
    one, _ = _run(opt.adamw_stochastic_rounding(1e-2, key), params, grads)
    other, _ = _run(al.adamw(1e-2, weight_decay=1e-2), params, grads)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float8_e4m3fn])
def test_a_second_moment_needs_the_range_of_float32(dtype):
    with pytest.raises(TypeError, match=r"nu=float.*: squares of usual gradients vanish"):
        store_state(al.adam(1e-3), nu=dtype)


def test_a_narrow_first_moment_comes_back_from_a_large_gradient():
    tx, params = store_state(al.adam(1.0), mu=jnp.float16), jnp.ones(2)
    state = tx.init(params)
    for size in (1e6, 1.0, 1.0):
        update, state = tx.update(jnp.full(2, size), state, params)
        assert jnp.isfinite(update).all()


@pytest.mark.parametrize("moment", ["mu", "nu"])
@pytest.mark.parametrize("storage", [jnp.bfloat16, jnp.float32, EightBit(min_size=0)])
def test_moments_narrower_than_float64_parameters_need_no_promotion(moment, storage):
    with jax.enable_x64(True):
        tx, params = store_state(al.adam(1e-2), **{moment: storage}), jnp.ones(300)
        state = tx.init(params)
        update, new = tx.update(params, state, params)
        assert update.dtype == np.float64
        np.testing.assert_allclose(update, -1e-2, rtol=1e-2)
        assert [x.dtype for x in jax.tree.leaves(new)] == [x.dtype for x in jax.tree.leaves(state)]


def test_a_decay_rate_too_narrow_to_hold_it_is_refused():
    tx = al.adam(1e-3, b2=lambda n: jnp.bfloat16(0.999))
    with pytest.raises(TypeError, match="a decay rate came in bfloat16, too narrow"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    with pytest.raises(TypeError, match="b1 came in bfloat16, too narrow"):
        stages.track_window(jnp.bfloat16(0.999))


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_keys_of_any_kind_round(kind):
    stage = stages.round_stochastically(jax.random.key(0, impl=kind))
    params = jnp.ones(64, jnp.bfloat16)
    state = stage.init(params)
    for _ in range(2):
        update, state = stage.update(jnp.full(64, 2.0**-9), state, params)
    assert 0 < (update != 0).mean() < 1
