"""Which Adam are you running? The disagreements of PyTorch, Keras and Optax, measured.

    python -m experiments which-adam            # measure, keep and write the page
    python -m experiments which-adam --check    # is the page that of the kept figures?

PyTorch's and Keras's forms are `adamlab.compat`'s, which the tests hold to those libraries' own
trajectories; Optax's are Optax itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import adamlab as al
from adamlab import optimizers as opt
from adamlab import stages
from adamlab.compat import keras, torch
from adamlab.compat import optax as optax_forms

HERE = Path(__file__).parent
FIGURES = HERE / "which_adam.json"
PAGE = HERE / "which_adam.md"
STEPS, SIZE = 1000, 64
ROUNDING = 1e-12


class Pair(NamedTuple):
    """Two forms of one name: made with the same hyperparameters, and with their own defaults."""

    form: str
    first: str
    second: str
    why: str
    same: tuple[Callable[[], Any], Callable[[], Any]]
    defaults: tuple[Callable[[], Any], Callable[[], Any]]


OURS = "the authors' code"
LR, B1, B2, EPS = 1e-3, 0.9, 0.999, 1e-8
BETAS = (B1, B2)


def _halved(steps_done: Any) -> Any:
    return LR * jnp.where(steps_done < STEPS // 2, 1.0, 0.5)


def _pairs() -> list[Pair]:
    return [
        Pair(
            "Adam", "PyTorch", "Optax", "nothing but rounding in float64",
            (lambda: torch.adam(LR, BETAS), lambda: optax.adam(LR, B1, B2)),
            (torch.adam, lambda: optax.adam(LR)),
        ),
        Pair(
            "Adam", "PyTorch", "Keras",
            "Keras adds eps to the root before bias correction, and its default is 1e-7, not 1e-8",
            (lambda: torch.adam(LR, BETAS), lambda: keras.adam(LR, *BETAS, EPS)),
            (torch.adam, keras.adam),
        ),
        Pair(
            "Adam with weight_decay", "PyTorch", "Keras",
            "`weight_decay` is an L2 penalty in PyTorch's Adam, decoupled in Keras's",
            (
                lambda: torch.adam(LR, BETAS, weight_decay=0.01),
                lambda: keras.adam(LR, *BETAS, EPS, weight_decay=0.01),
            ),
            (lambda: torch.adam(weight_decay=0.01), lambda: keras.adam(weight_decay=0.01)),
        ),
        Pair(
            "AdamW", "PyTorch", "Optax", "the default decay: 1e-2 and 1e-4",
            (
                lambda: torch.adamw(LR, BETAS, weight_decay=0.01),
                lambda: optax.adamw(LR, B1, B2, weight_decay=0.01),
            ),
            (torch.adamw, lambda: optax.adamw(LR)),
        ),
        Pair(
            "AdamW", "PyTorch", "Keras", "the default decay: 1e-2 and 4e-3; eps as for Adam",
            (
                lambda: torch.adamw(LR, BETAS, weight_decay=0.01),
                lambda: keras.adamw(LR, 0.01, *BETAS, EPS),
            ),
            (torch.adamw, keras.adamw),
        ),
        Pair(
            "AMSGrad", "PyTorch", "Optax",
            "PyTorch takes the maximum before bias correction, Optax after it",
            (lambda: torch.adam(LR, BETAS, amsgrad=True), lambda: optax.amsgrad(LR, B1, B2)),
            (lambda: torch.adam(amsgrad=True), lambda: optax.amsgrad(LR)),
        ),
        Pair(
            "AMSGrad", "PyTorch", "Keras", "the same order; eps as for Adam",
            (
                lambda: torch.adam(LR, BETAS, amsgrad=True),
                lambda: keras.adam(LR, *BETAS, EPS, amsgrad=True),
            ),
            (lambda: torch.adam(amsgrad=True), lambda: keras.adam(amsgrad=True)),
        ),
        Pair(
            "NAdam", "PyTorch", "Optax",
            "PyTorch warms the momentum up (momentum_decay = 4e-3)",
            (lambda: torch.nadam(LR, BETAS), lambda: optax.nadam(LR, B1, B2)),
            (lambda: torch.nadam(LR), lambda: optax.nadam(LR)),
        ),
        Pair(
            "NAdam", "PyTorch", "Keras",
            "Keras warms the momentum up 250 times faster; eps stands where PyTorch has it; the "
            "default rates are 2e-3 and 1e-3",
            (lambda: torch.nadam(LR, BETAS), lambda: keras.nadam(LR, *BETAS, EPS)),
            (torch.nadam, keras.nadam),
        ),
        Pair(
            "RAdam", "PyTorch", "Optax", "PyTorch adds eps to the uncorrected root",
            (lambda: torch.radam(LR, BETAS), lambda: optax.radam(LR, B1, B2)),
            (torch.radam, lambda: optax.radam(LR)),
        ),
        Pair(
            "Adamax", "PyTorch", "Keras",
            "eps is added to the gradient's magnitude, or to the maximum; the default rates are "
            "2e-3 and 1e-3",
            (lambda: torch.adamax(LR, BETAS), lambda: keras.adamax(LR, *BETAS, EPS)),
            (torch.adamax, keras.adamax),
        ),
        Pair(
            "RMSProp", "PyTorch", "Optax",
            "eps beside the root, or under it; the default decay is 0.99 and 0.9",
            (lambda: torch.rmsprop(LR, 0.9), lambda: optax.rmsprop(LR, 0.9)),
            (lambda: torch.rmsprop(LR), lambda: optax.rmsprop(LR)),
        ),
        Pair(
            "RMSProp", "Optax", "Keras", "the same form; the default eps is 1e-8 and 1e-7",
            (lambda: optax.rmsprop(LR, 0.9), lambda: keras.rmsprop(LR, 0.9, epsilon=EPS)),
            (lambda: optax.rmsprop(LR), keras.rmsprop),
        ),
        Pair(
            "RMSProp", "PyTorch", "Keras",
            "eps beside the root, or under it; the default rates are 1e-2 and 1e-3",
            (lambda: torch.rmsprop(LR, 0.9), lambda: keras.rmsprop(LR, 0.9, epsilon=EPS)),
            (torch.rmsprop, keras.rmsprop),
        ),
        Pair(
            "Adamax", "PyTorch", "Optax", "nothing but rounding in float64, at a default rate",
            (lambda: torch.adamax(LR, BETAS), lambda: optax.adamax(LR, B1, B2)),
            (lambda: torch.adamax(LR), lambda: optax.adamax(LR)),
        ),
        Pair(
            "AdaGrad", "Optax", "Keras", "the same form and the same defaults",
            (
                lambda: optax.adagrad(LR),
                lambda: keras.adagrad(LR, initial_accumulator_value=0.1, epsilon=1e-7),
            ),
            (lambda: optax.adagrad(LR), keras.adagrad),
        ),
        Pair(
            "AdaGrad", "PyTorch", "Optax",
            "the sum starts at 0 and at 0.1; eps beside the root, or under it",
            (
                lambda: torch.adagrad(LR, initial_accumulator_value=0.1, eps=1e-7),
                lambda: optax.adagrad(LR),
            ),
            (lambda: torch.adagrad(LR), lambda: optax.adagrad(LR)),
        ),
        Pair(
            "Adan", "torch-optimi", "Optax",
            "Optax has 1 - b2 where the paper has b2, twice, and decay that is not proximal",
            (lambda: opt.adan(LR), lambda: optax.adan(LR, eps_root=0.0)),
            (lambda: opt.adan(LR), lambda: optax.adan(LR)),
        ),
        Pair(
            "AdEMAMix", OURS, "Optax", "the default alpha: 2 and 5",
            (lambda: opt.ademamix(LR), lambda: optax.contrib.ademamix(LR)),
            (lambda: opt.ademamix(LR, alpha=2.0), lambda: optax.contrib.ademamix(LR)),
        ),
        Pair(
            "AdaBelief", OURS, "Optax", "the authors rectify the rate by default, as RAdam does",
            (lambda: opt.adabelief(LR), lambda: optax.adabelief(LR)),
            (_rectified_adabelief, lambda: optax.adabelief(LR)),
        ),
        *(
            Pair(form, OURS, "Optax", why, *[(partial(ours, LR), partial(theirs, LR))] * 2)
            for form, ours, theirs, why in _beside_optax()
        ),
        Pair(
            "Adafactor", "PyTorch", "Optax",
            "PyTorch's learning rate is a cap and it factors every matrix; Optax factors those of "
            "128 x 128 or more",
            (
                lambda: torch.adafactor(LR),
                lambda: optax.adafactor(LR, min_dim_size_to_factor=1),
            ),
            (lambda: torch.adafactor(LR), lambda: optax.adafactor(LR)),
        ),
        Pair(
            "Adafactor", "PyTorch", "Keras",
            "both cap the rate; eps is a bound from below, or added to the squares; the default "
            "rates are 1e-2 and 1e-3",
            (lambda: torch.adafactor(LR), lambda: keras.adafactor(LR)),
            (torch.adafactor, keras.adafactor),
        ),
        Pair(
            "LAMB", "Optax", "Keras", "the default eps: 1e-6 and 1e-7",
            (lambda: optax.lamb(LR, B1, B2, EPS), lambda: keras.lamb(LR, *BETAS, EPS)),
            (lambda: optax.lamb(LR), keras.lamb),
        ),
        Pair(
            "SGD with a momentum of 0.9, the rate halved half-way", "PyTorch", "Keras",
            "the learning rate multiplies the momentum, or is inside it",
            (lambda: torch.sgd(_halved, 0.9), lambda: keras.sgd(_halved, 0.9)),
            (lambda: torch.sgd(_halved, 0.9), lambda: keras.sgd(_halved, 0.9)),
        ),
        Pair(
            "Lion", "Optax", "Keras", "the default decay: 1e-3 and none",
            (
                lambda: optax.lion(LR, weight_decay=0.01),
                lambda: keras.lion(LR, weight_decay=0.01),
            ),
            (lambda: optax.lion(LR), keras.lion),
        ),
        Pair(
            "Sophia", "the paper's algorithm 3", "Optax",
            "Optax corrects mu, and divides by the curvature from before the step",
            (
                lambda: opt.sophia(LR, gamma=1.0),
                lambda: optax_forms.sophia(LR, gamma=1.0, eps=1e-12),
            ),
            (lambda: opt.sophia(LR), lambda: optax_forms.sophia(LR)),
        ),
    ]  # fmt: skip


def _beside_optax() -> list[tuple[str, Any, Any, str]]:
    """Forms that the tests hold to their authors' package: ours, Optax's; what differs."""
    c, rounding = optax.contrib, "nothing but rounding in float64"
    corrected = "Optax puts Adam's bias correction into the rate, which the authors leave out"
    return [
        ("D-Adaptation", opt.dadapt_adam, c.dadapt_adamw, corrected),
        ("MADGRAD", opt.madgrad, c.madgrad, "Optax takes the root of the step count in float32"),
        ("Prodigy", opt.prodigy, c.prodigy, corrected),
        ("Schedule-free AdamW", opt.schedule_free_adamw, c.schedule_free_adamw, rounding),
    ]


def _rectified_adabelief() -> Any:
    """`adabelief_pytorch.AdaBelief` with its own defaults, which rectify the rate as RAdam does."""
    return al.chain(
        al.track_moments(B1, stages.deviations(B2, 1e-16)),
        al.correct_bias(),
        stages.to_rate(1e-16),
        stages.rectify_rate(B2, 5.0),
        stages.apply_rate(),
        al.scale_by_learning_rate(LR),
    )


def measure() -> dict[str, Any]:
    """Every pair's distance, and the float32 error of the first update by b2."""
    rows = []
    with jax.enable_x64(True):
        for pair in _pairs():
            rows.append(
                {
                    "form": pair.form, "first": pair.first, "second": pair.second, "why": pair.why,
                    "same": _distance(*pair.same, scale=1.0),
                    "tiny": _distance(*pair.same, scale=EPS),
                    "defaults": _distance(*pair.defaults, scale=1.0),
                }
            )  # fmt: skip
    return {
        "command": "python -m experiments which-adam",
        "date": al.provenance()["date"][:10],
        "versions": {"optax": optax.__version__, "torch": "2.13.0", "keras": "3.15.1"},
        "steps": STEPS,
        "pairs": rows,
        "float32": _float32_errors(),
    }


def _distance(
    first: Callable[[], Any], second: Callable[[], Any], scale: float
) -> dict[str, float]:
    """How far apart two forms are, over how far the first has moved, after 10 steps and at the end.

    Gradients are Gaussian around a mean of their own, four orders of magnitude apart.
    """
    draw = np.random.default_rng(11)
    sizes = scale * np.geomspace(1e-2, 1e2, SIZE).reshape(8, 8)
    noise = draw.normal(size=(STEPS, 8, 8)) + draw.normal(size=(8, 8))
    start, grads = jnp.asarray(draw.normal(size=(8, 8))), jnp.asarray(noise * sizes)
    paths = [_path(build(), start, grads) for build in (first, second)]
    return {
        str(step): float(
            np.linalg.norm(paths[0][step - 1] - paths[1][step - 1])
            / np.linalg.norm(paths[0][step - 1] - start)
        )
        for step in (10, STEPS)
    }


def _path(tx: Any, start: jax.Array, grads: jax.Array) -> np.ndarray:
    extended = optax.with_extra_args_support(tx)

    def step(carry: Any, g: jax.Array) -> Any:
        params, state = carry
        updates, state = extended.update(g, state, params, hessian_diag=g * g)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return np.asarray(jax.lax.scan(step, (start, extended.init(start)), grads)[1])


def _float32_errors() -> list[dict[str, Any]]:
    """The largest relative error of an update in float32 over the first 100 steps, by b2."""
    draw = np.random.default_rng(5)
    grads = draw.normal(size=(100, 256)).astype(np.float32)
    rows = []
    for b2 in (0.999, 0.9999, 0.99999):
        with jax.enable_x64(True):
            exact = _updates(al.adam(1.0, b2=b2), grads.astype(np.float64))
        rows.append(
            {"b2": b2}
            | {
                name: float(
                    np.max(
                        np.linalg.norm(_updates(tx, grads) - exact, axis=1)
                        / np.linalg.norm(exact, axis=1)
                    )
                )
                for name, tx in (
                    ("optax", optax.adam(1.0, b2=b2)), ("adamlab", al.adam(1.0, b2=b2)))
            }
        )  # fmt: skip
    return rows


def _updates(tx: Any, grads: np.ndarray) -> np.ndarray:
    def step(state: Any, g: jax.Array) -> Any:
        update, state = tx.update(g, state)
        return state, update

    first = jnp.zeros_like(grads[0])
    with jax.numpy_dtype_promotion("standard"):
        return np.asarray(jax.jit(lambda g: jax.lax.scan(step, tx.init(first), g)[1])(grads))


def page(figures: dict[str, Any]) -> str:
    """The page, from the kept figures alone."""
    lines = [
        "# Which Adam are you running?",
        "",
        "The same name stands for different updates in different libraries. Each row compares two",
        f"forms after {figures['steps']:,} steps on the same gradients, in float64: the distance",
        "between them as a share of the distance that the first has moved.",
        "",
        "The gradients are normal noise, fixed beforehand, around a separate mean for each of",
        f"{SIZE} parameters, with standard deviations from 1e-2 to 1e2 across the parameters.",
        "",
        "- *same*: with the same hyperparameters, after 10 steps and at the end;",
        "- *tiny*: the same with all gradients times 1e-8, where eps matters;",
        f"- *defaults*: each with its own; both at {LR:g} where one has no default learning rate.",
        "",
        "| form | pair | same, 10 steps | same | tiny, 10 steps | tiny | defaults | what differs |",
        "|--|--|--:|--:|--:|--:|--:|--|",
    ]
    last = str(figures["steps"])
    differ: list[Any] = []
    agree: list[Any] = []
    for row in figures["pairs"]:
        most = max(apart for kind in ("same", "tiny", "defaults") for apart in row[kind].values())
        (differ if most > ROUNDING else agree).append(row)
    for row in differ:
        cells = [
            row["form"], f"{row['first']} / {row['second']}",
            *(_share(row[kind][step]) for kind in ("same", "tiny") for step in ("10", last)),
            _share(row["defaults"][last]), row["why"],
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    alike: dict[str, list[str]] = {}
    for row in agree:
        alike.setdefault(f"{row['first']} and {row['second']}", []).append(row["form"])
    lines += [
        "",
        f"Alike to {ROUNDING:g} in all of these columns, the defaults included:",
        "",
        *(f"- {pair}: {', '.join(forms)}." for pair, forms in alike.items()),
        "",
        "## float32 is another difference",
        "",
        "Rounding b2 to float32 first costs 1 - b2 most of its digits. The largest relative error",
        "of an update over the first 100 steps, against the same update in float64:",
        "",
        "| b2 | optax.adam | adamlab.adam |",
        "|--|--:|--:|",
        *(
            f"| {row['b2']} | {row['optax']:.1e} | {row['adamlab']:.1e} |"
            for row in figures["float32"]
        ),
        "",
        "## To keep the update when you port a training",
        "",
        "```python",
        "from adamlab.compat import keras, torch",
        "",
        "torch.adamw(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)  # torch.optim.AdamW's update",
        "keras.adam(3e-4, epsilon=1e-7)  # keras.optimizers.Adam's",
        "```",
        "",
        "They differ from the libraries in one respect: gradients are limited to a magnitude of",
        "2^48 (2^496 in float64), infinities included. In Optax and PyTorch an infinite gradient",
        "makes its parameter NaN for good, and one whose square overflows stops it; here the",
        "parameter all but stops until the second moment has forgotten that gradient. Clipping the",
        "norm or `optax.apply_if_finite` keeps such gradients out.",
        "",
        f"Measured {figures['date']} by `{figures['command']}` with Optax "
        f"{figures['versions']['optax']}.",
        f"PyTorch {figures['versions']['torch']} and Keras {figures['versions']['keras']} are "
        "represented by `adamlab.compat`, the authors' code and",
        "torch-optimi by `adamlab.optimizers`; the tests hold all within 1e-12 of the packages' "
        "own trajectories",
        "(AdEMAMix of Optax's).",
        "",
    ]
    return "\n".join(lines)


def _share(value: float) -> str:
    if value < 1e-9:
        return "0"
    return f"{value:.1%}" if value >= 1e-3 else f"{value:.0e}"


def main(check: bool) -> int:
    """Write the page, or say whether it is that of the kept figures."""
    if check:
        if page(json.loads(FIGURES.read_text())) == PAGE.read_text():
            return 0
        print(f"{PAGE} is not what the figures say: python -m experiments which-adam")
        return 1
    figures = measure()
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(page(figures))
    print(f"{PAGE} and {FIGURES.name} were written")
    return 0
