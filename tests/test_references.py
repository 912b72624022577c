"""Every variant against the trajectory of its reference implementation, in float64.

The trajectories are stored; `tests/references/generate.py` made them from the packages named in
`trajectories.json`, with the hyperparameters given there.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_optimizers
import test_storage
from references import fixture

from adamlab import optimizers as opt
from adamlab import stages as st
from adamlab.compat import keras, torch
from adamlab.compat import optax as optax_forms

pytestmark = pytest.mark.rounding

HERE = Path(__file__).parent / "references"
ABOUT = json.loads((HERE / "trajectories.json").read_text())
B = {"b1": 0.9, "b2": 0.99}
BE = {**B, "eps": 1e-8}
WD = {**BE, "weight_decay": 0.1}
LR = 1e-2
RATES = fixture.LEARNING_RATES
PEAK = float(RATES[0])


def _scheduled(steps_done):
    return jnp.asarray(RATES)[steps_done]


VARIANTS = {
    "adam": lambda: opt.adam(LR, **BE),
    "adam_keras": lambda: opt.adam_epsilon_hat(LR, **B, eps=1e-3),
    "adam_l2": lambda: opt.adam_l2(LR, **WD),
    "adamw": lambda: opt.adamw(LR, **WD),
    "adamw_independent": lambda: opt.adamw_independent(LR, **BE, weight_decay=1e-3),
    "adamw_independent_scheduled": lambda: opt.adamw_independent(
        _scheduled, **BE, weight_decay=1e-3, peak=PEAK
    ),
    "adamc": lambda: opt.adamc(
        _scheduled, **B, eps=0.0, weight_decay=1.0, normalized={"w": True, "b": False}, peak=PEAK
    ),
    "adamw_cautious_decay": lambda: opt.adamw_cautious_decay(
        2**-7, **B, eps=0.0, weight_decay=0.125
    ),
    "adam_atan2_cautious_decay": lambda: st.chain(
        st.track_moments(**B), st.correct_bias(), st.precondition_atan2(1.27, 0.8),
        st.add_cautious_decay(0.125), st.scale_by_learning_rate(2**-7),
    ),
    "adams_stable_decay": lambda: opt.adams(LR, **WD),
    "adamd": lambda: opt.adamd(LR, **BE),
    "amsgrad": lambda: opt.amsgrad(LR, **BE),
    "amsgrad_torch": lambda: opt.amsgrad_torch(LR, **BE),
    "adabound": lambda: opt.adabound(LR, **BE, final_rate=0.05, gamma=5e-3),
    "amsbound": lambda: opt.amsbound(LR, **BE, final_rate=0.05, gamma=5e-3),
    "nadam": lambda: opt.nadam(LR, **BE),
    "nadam_torch": lambda: opt.nadam_scheduled(LR, **BE),
    "nadam_keras": lambda: opt.nadam_scheduled(LR, **B, eps=1e-3, momentum_decay=1.0),
    "qhadam": lambda: opt.qhadam(LR, **B, v1=0.7, v2=0.9, weight_decay=0.1),
    "adan": lambda: opt.adan(LR, weight_decay=0.1),
    "adan_optimi": lambda: opt.adan(LR, weight_decay=0.1),
    "ademamix": lambda: opt.ademamix(LR, **B, b3=0.98, alpha=2.0, weight_decay=0.1),
    "simplified_ademamix": lambda: opt.simplified_ademamix(LR, **B, alpha=3.0, weight_decay=0.1),
    "adapnm": lambda: opt.adapnm(LR, **B, b3=0.7, eps=0.0, weight_decay=0.1),
    "adapnm_amsgrad": lambda: st.chain(
        st.track_moments(None, 0.99), st.positive_negative_momentum(0.9, 0.7), st.amsgrad_max(),
        st.correct_bias(), st.precondition(0.0), st.add_decayed_weights(0.1),
        st.scale_by_learning_rate(LR),
    ),
    "adanorm": lambda: opt.adanorm(LR, **B, r=0.95, eps=0.0, weight_decay=0.1),
    "diffgrad": lambda: opt.diffgrad(LR, **BE),
    "exadam": lambda: opt.exadam(LR, **WD),
    "mars": lambda: opt.mars(LR, **B, gamma=0.05, eps=0.0, weight_decay=0.1),
    "cautious_adamw": lambda: opt.cautious_adamw(LR, **WD),
    "grams": lambda: opt.grams(LR, **WD),
    "ano": lambda: opt.ano(LR, weight_decay=0.1),
    "optimistic_adam": lambda: opt.optimistic_adam(LR, **BE, alpha=1.5, beta=0.5),
    "radam": lambda: opt.radam(LR, **BE),
    "adamax": lambda: opt.adamax(LR, **B, eps=1e-3),
    "adabelief": lambda: opt.adabelief(LR, **BE, eps_root=1e-8),
    "adabelief_torch": lambda: opt.adabelief(LR, **BE, eps_root=1e-8, weight_decay=0.1),
    "yogi": lambda: opt.yogi(LR, **B),
    "padam": lambda: opt.padam(LR, **BE, partial=0.125),
    "msvag": lambda: opt.msvag(LR),
    "adam_atan2": lambda: opt.adam_atan2(LR, **B, b=0.8, weight_decay=0.1),
    "stableadamw": lambda: opt.stable_adamw(LR, **WD),
    "adashift": lambda: opt.adashift(LR, **BE, keep_num=5, reduce=None),
    "adashift_max": lambda: opt.adashift(LR, **BE, keep_num=5),
    "adai": lambda: opt.adai(LR),
    "fadam": lambda: opt.fadam(LR, **B, eps=0.03),
    "adamod": lambda: opt.adamod(LR, **BE, b3=0.95),
    "laprop": lambda: opt.laprop(LR, **WD),
    "laprop_epsilon_hat": lambda: st.chain(
        st.track_moments(None, 0.99), st.correct_bias(), st.precondition(st.epsilon_hat(1e-8)),
        st.ema(0.9, correct=True), st.scale_by_learning_rate(LR), st.decay_after_step(0.1, LR),
    ),
    "adopt": lambda: opt.adopt(LR, **B),
    "acprop": lambda: opt.acprop(LR, **BE, eps_root=1e-8, weight_decay=0.1),
    "novograd": lambda: opt.novograd(LR, eps=1e-8, weight_decay=0.1),
    "lamb": lambda: opt.lamb(LR, **B, weight_decay=0.1),
    "adafactor": lambda: opt.adafactor(LR, min_dim_size=2),
    "sm3": lambda: opt.sm3(LR),
    "sm3_torch": lambda: opt.sm3(LR),
    "came": lambda: opt.came(LR, b2=0.99, b3=0.995, weight_decay=0.1),
    "adam_mini": lambda: optax.partition(
        {"w": opt.adam_mini(LR, **WD), "b": opt.adam(LR, **BE)}, {"w": "w", "b": "b"}
    ),
    "adam_mini_tensor": lambda: opt.adam_mini(LR, **WD, axes=st.all_axes),
    "adamp": lambda: opt.adamp(LR, **BE, delta=1.0, weight_decay=0.1),
    "soap": lambda: opt.soap(
        LR, **WD, shampoo_beta=0.95, precondition_frequency=5, max_precond_dim=8
    ),
    "adahessian": lambda: opt.adahessian(LR, **WD),
    "sophia_torch": lambda: opt.sophia(
        LR, **BE, gamma=1.0, clip=0.5, every=5, weight_decay=0.1
    ),
    "lion": lambda: opt.lion(LR, weight_decay=0.1),
    "signum": lambda: opt.signum(LR),
    "tiger": lambda: opt.signum(LR, weight_decay=0.1),
    "rmsprop": lambda: opt.rmsprop(LR, eps=1e-3),
    "rmsprop_torch": lambda: opt.rmsprop(LR, eps=1e-3, eps_in_sqrt=False),
    "rmsprop_centered": lambda: opt.rmsprop(LR, eps=1e-3, centered=True),
    "adagrad": lambda: opt.adagrad(LR, eps=1e-3),
    "madgrad": lambda: opt.madgrad(LR),
    "prodigy": lambda: opt.prodigy(1.0, **WD, initial_distance=1e-3, coefficient=2.0),
    "prodigy_optax": lambda: optax_forms.prodigy(
        eps=WD["eps"], weight_decay=WD["weight_decay"], betas=(WD["b1"], WD["b2"]),
        estim_lr0=1e-3, estim_lr_coef=2.0,
    ),
    "dadapt_adam": lambda: opt.dadapt_adam(1.0, **WD, initial_distance=1e-3),
    "dadapt_adam_optax": lambda: optax_forms.dadapt_adamw(
        eps=WD["eps"], weight_decay=WD["weight_decay"], betas=(WD["b1"], WD["b2"]), estim_lr0=1e-3,
    ),
    "schedule_free_adamw": lambda: opt.schedule_free_adamw(LR, **WD),
    "schedule_free_adamw_warmup": lambda: opt.schedule_free_adamw(
        lambda n: LR * jnp.minimum((n + 1.0) / 10, 1.0), **WD
    ),
    "schedule_free_optax": lambda: opt.schedule_free_adamw(LR, **WD),
    "lookahead_adam": lambda: opt.lookahead_adam(LR, **BE),
    "lookahead_adam_torch": lambda: opt.lookahead_adam(LR, **BE),
    "ranger": lambda: opt.ranger(LR, **BE, weight_decay=0.1),
}  # fmt: skip

BETAS = (0.9, 0.99)
COMPAT = {
    "adam": lambda: torch.adam(LR, BETAS),
    "adam_l2": lambda: torch.adam(LR, BETAS, weight_decay=0.1),
    "adamw": lambda: torch.adamw(LR, BETAS, weight_decay=0.1),
    "adamw_torch_amsgrad": lambda: torch.adamw(LR, BETAS, weight_decay=0.1, amsgrad=True),
    "amsgrad_torch": lambda: torch.adam(LR, BETAS, amsgrad=True),
    "nadam_torch": lambda: torch.nadam(LR, BETAS),
    "nadam_torch_decay": lambda: torch.nadam(LR, BETAS, weight_decay=0.1),
    "radam_torch": lambda: torch.radam(LR, BETAS),
    "radam_torch_decoupled": lambda: torch.radam(
        LR, BETAS, weight_decay=0.1, decoupled_weight_decay=True
    ),
    "adamax": lambda: torch.adamax(LR, BETAS, 1e-3),
    "adamax_torch_decay": lambda: torch.adamax(LR, BETAS, weight_decay=0.1),
    "rmsprop_torch": lambda: torch.rmsprop(LR, 0.9, 1e-3),
    "rmsprop_torch_all": lambda: torch.rmsprop(LR, 0.9, 1e-3, 0.1, 0.8, True),
    "adagrad_torch": lambda: torch.adagrad(LR, initial_accumulator_value=0.1, eps=1e-3),
    "adagrad_torch_decay": lambda: torch.adagrad(LR, 0.1, 0.1, eps=1e-3),
    "sgd_torch_dampening": lambda: torch.sgd(LR, 0.9, 0.3, 0.1),
    "sgd_torch": lambda: torch.sgd(LR, 0.9, 0.0, 0.1, True),
    "adafactor_torch": lambda: torch.adafactor(LR, weight_decay=0.1),
    "sgd_keras": lambda: keras.sgd(LR, 0.9, True),
    "lamb_keras": lambda: keras.lamb(LR, *BETAS, 1e-3),
    "adafactor_keras": lambda: keras.adafactor(0.5),
    "adam_keras": lambda: keras.adam(LR, *BETAS, 1e-3),
    "adamw_keras": lambda: keras.adamw(LR, 0.1, *BETAS, 1e-3),
    "amsgrad_keras": lambda: keras.adam(LR, *BETAS, 1e-3, amsgrad=True),
    "nadam_keras": lambda: keras.nadam(LR, *BETAS, 1e-3),
    "adamax_keras": lambda: keras.adamax(LR, *BETAS, 1e-3),
    "rmsprop_keras": lambda: keras.rmsprop(LR, 0.9, 0.8, 1e-3, True),
    "adagrad_keras": lambda: keras.adagrad(LR, epsilon=1e-3),
    "lion_keras": lambda: keras.lion(LR, *BETAS, 0.1),
    "adan_optax": lambda: optax_forms.adan(LR, weight_decay=0.1),
    "sophia": lambda: optax_forms.sophia(
        LR, *BETAS, weight_decay=0.1, gamma=2.0, update_interval=5
    ),
}


# What is stored but not compared, and why.
NOT_COMPARED = {
    "avagrad": "it normalises by rates one step older than those it divides by; see below",
    "adam_atan2_cautious": "the mask scales the angle, not the moment",
    "adam_mini_heads": "its blocks cross the axes of a leaf",
    "adamw_8bit": "float32, and what lies half-way between two codes; see test_storage",
    "adamw_kahan": "bfloat16 throughout, the second moment included; see test_storage",
    "laprop_cautious": "the mask scales the direction after its average",
    "mars_timm": "it takes the first gradient as it is",
}


def _quick():
    """Options that halve the time to compile, if this version of XLA has them."""
    options = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 1, compiler_options=options)()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


QUICK = _quick()


def trajectory(tx, name=""):
    """The parameters at the saved steps, in float64."""
    start, grads = fixture.START, fixture.GRADIENTS
    if name == "soap":
        start, grads = fixture.FULL_RANK_START, fixture.FULL_RANK_GRADIENTS
    start, grads = (jax.tree.map(jnp.asarray, tree) for tree in (start, grads))
    diagonals = jax.tree.map(jnp.asarray, fixture.HESSIAN_DIAGONALS)
    free = name.startswith("schedule_free")

    def step(carry, seen):
        params, state = carry
        grad, diagonal = seen
        extra = {"hessian_diag": diagonal} if name.startswith(("sophia", "adahessian")) else {}
        updates, state = tx.update(grad, state, params, **extra)
        params = optax.apply_updates(params, updates)
        shown = optax.contrib.schedule_free_eval_params(state[-1], params) if free else params
        return (params, state), shown

    with jax.numpy_dtype_promotion("standard"):
        run = jax.jit(
            lambda c: jax.lax.scan(step, c, (grads, diagonals))[1], compiler_options=QUICK
        )
        path = run((start, tx.init(start)))
    saved = np.asarray(fixture.SAVED) - 1
    return {leaf: np.asarray(values)[saved] for leaf, values in path.items()}


def distance(ours, theirs):
    """The largest difference relative to the largest displacement."""
    apart = max(np.abs(ours[leaf] - theirs[leaf]).max() for leaf in ours)
    moved = max(np.abs(theirs[leaf] - fixture.STARTS[leaf]).max() for leaf in ours)
    return apart / moved


@pytest.fixture(scope="module")
def stored():
    with np.load(HERE / "trajectories.npz") as data:
        found = {name: {} for name in ABOUT}
        for key in data.files:
            name, _, leaf = key.partition("/")
            found[name][leaf] = data[key]
        return found


@pytest.mark.parametrize("name", VARIANTS)
def test_variant_agrees_with_its_reference(name, stored, x64):
    assert distance(trajectory(VARIANTS[name](), name), stored[name]) <= 1e-12


@pytest.mark.parametrize("name", COMPAT)
def test_compat_agrees_with_its_library(name, stored, x64):
    assert distance(trajectory(COMPAT[name](), name), stored[name]) <= 1e-12


@pytest.mark.parametrize("library", [torch, keras, optax_forms], ids=lambda m: m.__name__)
def test_compat_has_the_libraries_arguments(library):
    """Names, defaults and places are theirs, so that a call can be copied; `generate.py` stored
    them.
    """
    libraries = json.loads((HERE / "arguments.json").read_text())
    stored = libraries[library.__name__.rpartition(".")[2]]
    assert set(stored) == set(library.__all__)
    for name, theirs in stored.items():
        ours = inspect.signature(getattr(library, name)).parameters
        given = {
            n: list(p.default) if isinstance(p.default, tuple) else p.default
            for n, p in ours.items()
            if p.default is not p.empty
        }
        assert given == {n: theirs.get(n, "no such argument") for n in given}, name
        by_place = [n for n in given if ours[n].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        assert by_place == list(theirs)[: len(by_place)], name


@pytest.mark.packages
def test_stored_trajectories_are_what_the_installed_packages_compute():
    """All references whose package is installed, in a process of its own: Keras sets up JAX."""
    script = Path(__file__).parent / "references" / "generate.py"
    there = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert there.returncode == 0, there.stdout[-2000:] + there.stderr[-2000:]


def test_every_reference_is_compared_or_says_why_not():
    assert set(VARIANTS) | set(COMPAT) | set(NOT_COMPARED) == set(ABOUT)
    assert not set(COMPAT) & set(NOT_COMPARED)
    assert not set(VARIANTS) & set(NOT_COMPARED)


MANY_AXES = [(5, 3, 2), (8, 4, 3, 3), (4, 6), (7,)]


def _run(tx, start, grads):
    """The parameters after each of the gradients."""
    params, state, path = start, tx.init(start), []
    for g in grads:
        updates, state = tx.update(g, state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    return np.stack(path)


@pytest.mark.parametrize("shape", MANY_AXES)
@pytest.mark.parametrize(
    ("dtype", "size", "eps", "rtol"),
    [
        ("float64", 1.0, (None, 1e-3), 1e-12),
        ("float64", 1e-2, (1e-2, 1e-3), 1e-12),
        ("float32", 1e-6, (None, 1e-3), 1e-4),  # float32 in a process that has float64
    ],
)
def test_adafactor_is_torchs_on_many_axes(shape, dtype, size, eps, rtol, x64):
    theirs = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start, *grads = rng.normal(size=(7, *shape))
    grads = [size * g * 10.0 ** rng.uniform(-2, 0, shape) for g in grads]
    leaf = theirs.nn.Parameter(theirs.tensor(start, dtype=getattr(theirs, dtype)))
    optimizer = theirs.optim.Adafactor([leaf], lr=LR, eps=eps, weight_decay=0.1)
    path = []
    for g in grads:
        leaf.grad = theirs.tensor(g, dtype=leaf.dtype)
        optimizer.step()
        path.append(leaf.detach().numpy().copy())
    tx = torch.adafactor(LR, eps=eps, weight_decay=0.1)
    ours = _run(tx, jnp.asarray(start, dtype), [jnp.asarray(g, dtype) for g in grads])
    assert np.abs(ours - path).max() <= rtol * np.abs(path[-1] - start).max()


def test_torchs_adafactor_takes_eps_from_the_leafs_dtype():
    rng = np.random.default_rng(0)
    start, grad = (jnp.asarray(x, jnp.bfloat16) for x in rng.normal(size=(2, 4, 3)))
    grad = grad / 1024
    wide = [x.astype(jnp.float32) for x in (start, grad)]
    tx = torch.adafactor(LR)
    narrow, _ = tx.update(grad, tx.init(start), start)
    for eps, same in ((2.0**-7, True), (None, False)):
        tx = torch.adafactor(LR, eps=(eps, 1e-3))
        updates, _ = tx.update(wide[1], tx.init(wide[0]), wide[0])
        assert np.allclose(narrow.astype(jnp.float32), updates, rtol=2e-2) == same


@pytest.mark.parametrize("shape", MANY_AXES)
def test_came_is_its_authors_on_many_axes(shape, x64):
    """`came_pytorch.CAME`, transcribed: factors over the last two axes."""
    rng = np.random.default_rng(0)
    start, *grads = rng.normal(size=(6, *shape))

    def averaged(old, squares, beta):
        """The average, or the pair of them, and the second moment that it stands for."""
        means = [squares.mean(-1), squares.mean(-2)] if len(shape) > 1 else [squares]
        new = [
            beta * a + (1 - beta) * x for a, x in zip(old or [0] * len(means), means, strict=True)
        ]
        if len(shape) == 1:
            return new, new[0]
        row, col = new
        share = row / row.mean(-1, keepdims=True)
        return new, share[..., :, None] * col[..., None, :]

    theta, m, nu, residual, path = start, 0, None, None, []
    for g in grads:
        nu, size = averaged(nu, g**2 + 1e-30, 0.99)
        u = g / np.sqrt(size)
        u = u / max(1, np.sqrt(np.mean(u**2)))
        m = 0.9 * m + 0.1 * u
        step = m
        if len(shape) > 1:
            residual, size = averaged(residual, (u - m) ** 2 + 1e-16, 0.995)
            step = m / np.sqrt(size)
        theta = theta - LR * (step + 0.1 * theta)
        path.append(theta)
    tx = opt.came(LR, b2=0.99, b3=0.995, weight_decay=0.1)
    ours = _run(tx, jnp.asarray(start), [jnp.asarray(g) for g in grads])
    assert np.abs(ours - path).max() <= 1e-12 * np.abs(path[-1] - start).max()


def test_avagrad_is_its_papers_with_moments_corrected(x64):
    """Algorithm 2: the rates that divide are the rates that are normalised."""
    start, grads = fixture.START["w"], fixture.GRADIENTS["w"]
    m, v, theta, eps = np.zeros_like(start), np.zeros_like(start), start, 0.01
    path = []
    for t, g in enumerate(grads, start=1):
        m = 0.9 * m + 0.1 * g
        if t > 1:
            rate = 1 / (np.sqrt(v / (1 - 0.99 ** (t - 1))) + eps)
            theta = theta - LR * m / (1 - 0.9**t) * rate / np.sqrt(np.mean(rate**2))
        v = 0.99 * v + 0.01 * g**2
        path.append(theta)

    tx = opt.avagrad(LR, **B, eps=eps)

    def step(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    first = jnp.asarray(start)
    ours = jax.lax.scan(step, (first, tx.init(first)), jnp.asarray(grads))[1]
    apart = np.abs(np.asarray(ours) - np.stack(path)).max()
    assert apart / np.abs(path[-1] - start).max() <= 1e-12


def _avagrad():
    with jax.enable_x64(True):
        test_avagrad_is_its_papers_with_moments_corrected(None)


# What has no trajectory of its own, and the test that must fail if it is plain Adam.
TESTED_ELSEWHERE = {
    "avagrad": _avagrad,
    "adamw_8bit": test_storage.test_eight_bits_take_two_bytes_a_parameter_and_little_leaves_stay,
    "adamw_kahan": test_storage.test_small_steps_are_lost_without_compensation,
    "adamw_stochastic_rounding": test_storage.test_small_steps_are_lost_without_compensation,
}
# And those that are compared with Optax alone, in float32.
BESIDE_OPTAX = ("scale_by_adam", "scale_by_amsgrad", "sgd")


def _uses(name):
    return [entry for entry, make in VARIANTS.items() if name in make.__code__.co_names]


@pytest.mark.parametrize("name", sorted({*opt.names()} - {*TESTED_ELSEWHERE, *BESIDE_OPTAX}))
def test_a_variant_that_is_plain_adam_is_noticed(name, stored, x64):
    """The test of the tests: with plain Adam or AdamW in a variant's place a comparison fails."""
    entries = _uses(name)
    assert entries, f"{name} is compared with no reference"
    for other in {"adam", "adamw"} - {name}:
        plain = stored[other]
        if name == "soap":  # it has leaves of its own
            plain = trajectory(VARIANTS[other](), name)
        assert max(distance(plain, stored[entry]) for entry in entries) > 1e-7, other


@pytest.mark.parametrize(("name", "test"), TESTED_ELSEWHERE.items())
def test_a_variant_that_is_plain_adam_is_noticed_elsewhere(name, test, monkeypatch):
    def plain(rate, *_, weight_decay=0.0, **__):
        return opt.adamw(rate, weight_decay=weight_decay)

    monkeypatch.setattr(opt, name, plain)
    with pytest.raises(AssertionError):
        test()


@pytest.mark.parametrize("name", BESIDE_OPTAX)
def test_what_is_compared_with_optax_alone_is_not_plain_adam(name):
    _, theirs = test_optimizers.OPTAX[name]
    path, adams = (trajectory(tx) for tx in (theirs, opt.adam(1e-3)))
    assert distance(path, adams) > 1e-2


def test_optaxs_optimistic_adam_extrapolates_nadams_direction(x64):
    given = {"alpha": 1.5, "beta": 0.5, "b1": 0.8, "b2": 0.95, "eps": 1e-3}
    ours = trajectory(optax_forms.optimistic_adam_v2(LR, **given))
    theirs = trajectory(optax.optimistic_adam_v2(LR, **given))
    assert distance(ours, theirs) <= 1e-12
    plain = trajectory(opt.optimistic_adam(LR, **given))
    assert distance(plain, theirs) > 1e-3


def test_adam_without_its_bias_correction_is_noticed(stored, x64):
    plain = st.chain(st.track_moments(**B), st.precondition(1e-8), st.scale_by_learning_rate(LR))
    assert distance(trajectory(plain), stored["adam"]) > 1e-2


def test_no_two_references_are_the_same(stored):
    """But for those that two libraries agree on, or that differ under a schedule alone."""
    same = {
        frozenset(pair) for pair in [
            ("adamw", "adamw_independent"), ("adan", "adan_optimi"), ("sm3", "sm3_torch"),
            ("lookahead_adam", "lookahead_adam_torch"),
            ("schedule_free_adamw", "schedule_free_optax"),
        ]
    }  # fmt: skip
    names = sorted(set(VARIANTS) - {"soap"})  # it has leaves of its own
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if frozenset((one, other)) not in same:
                assert distance(stored[one], stored[other]) > 1e-7, (one, other)
