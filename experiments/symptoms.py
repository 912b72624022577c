"""What a reader's failing training looks like, where in the book to look, and what to try."""

from __future__ import annotations

from typing import NamedTuple


class Symptom(NamedTuple):
    """What is seen, and what to do about it."""

    says: str
    remedy: str
    """Code and what was measured of it; in words where nothing was."""
    experiment: str | None = None
    """The experiment that it comes from; None where none is about it."""


SYMPTOMS: dict[str, tuple[Symptom, ...]] = {
    "It breaks or runs away": (
        Symptom(
            "The loss begins in the thousands and is NaN after a few steps (here of SGD; Adam's "
            "was none).",
            "chain(clip_by_global_norm(1.0), sgd(1e-1))  # stays finite; to learn as well, start "
            "smaller:\n"
            "supervised(source, network(widths, initializer='he_normal'), loss)",
            "C10",
        ),
        Symptom(
            "The loss slowly rises and stays high; a few batches have far larger gradients than "
            "the rest.",
            "amsgrad(1e-3)  # or adam(1e-3, b2=0.9999): a longer memory",
            "C24",
        ),
        Symptom(
            "A parameter drifts steadily to the wrong side, although the mean gradient points "
            "the other way.",
            "adam(1e-3, b2=0.9999)  # a memory longer than the wait for the rare slope; or\n"
            "# adamlab.chain(track_moments(b2=0.99), amsgrad_max(), precondition(),\n"
            "#               scale_by_learning_rate(2e-3)): the paper's, without bias correction",
            "P01",
        ),
        Symptom(
            "The loss runs away, and sooner the more batches an epoch has: b2 must be closer to 1.",
            "adam(1e-3, b2=1 - 1 / steps_per_epoch**2)  # remembers as many epochs as one has "
            "steps; measured here without bias correction",
            "P02",
        ),
        Symptom(
            "A rate that trains lies right beside one that diverges.",
            "adam(rate / 3)  # keep well away",
            "P04",
        ),
        Symptom(
            "The loss is NaN after hundreds of good steps.",
            "Look at the data for values that are not finite, map the rate, and try "
            "chain(clip_by_global_norm(1.0), adam(rate)).",
        ),
    ),
    "It hardly moves": (
        Symptom(
            "The loss does not move from the first step on, and the gradients are tiny.",
            "chain(add_noise(1e-6, 0.0, key), adam(1e-2))  # a little noise gets off a ridge\n"
            "optax.chain(adam(1e-2), optax.add_noise(1e-2, 0.0, key))  # off a plateau; or try "
            "other starts",
            "C04",
        ),
        Symptom(
            "After ten epochs the loss is as high as at the start: it jumped, or it hardly moved.",
            "adam(3e-2)  # ten epochs are few: search the rate, or train for longer at 1e-3",
            "C08",
        ),
        Symptom(
            "A deep net's loss stays at the level of guessing, for a long time or for good.",
            "network(widths, initializer='he_normal')  # or residual=True; batch_norm=True needs "
            "a higher rate:\n"
            "# at 1e-3 it only did better than PyTorch's initial weights",
            "C09",
        ),
        Symptom(
            "The loss falls at once, then crawls: the path follows a curved valley.",
            "sgd(6e-4, momentum=0.9)  # the valley's floor needs momentum; or adam(3e-3): at "
            "larger rates it gets there sooner, but may not stay",
            "C22",
        ),
        Symptom(
            "A training in bfloat16 stands still, while the same in float32 goes on.",
            "Its steps may be lost to rounding: try adamlab.optimizers.adamw_kahan(rate).",
        ),
    ),
    "It jumps, or comes back": (
        Symptom(
            "From the first steps on, the loss jumps about, or it stays where it began.",
            "adam(1e-3, b1=0.9, b2=0.999)  # keep b1 < sqrt(b2), and lower the rate first",
            "C02",
        ),
        Symptom(
            "With small batches the loss jumps around a level that it never falls below.",
            "supervised(source, model, loss, batch_size=128)  # no rate made up for a smaller "
            "batch here,\n"
            "# at as many steps; at as many examples that is undecided",
            "C03",
        ),
        Symptom(
            "The loss falls, then leaps up for a few steps, again and again.",
            "adam(rate / 10)  # clipping barely shortens the steps: Adam divides by the "
            "gradient's size anyway",
            "C05",
        ),
        Symptom(
            "The loss zigzags: steps bounce between walls and hardly move along the floor.",
            "adam(1e-2, b1=0.9)  # less jitter; to arrive sooner, search b1 and the rate",
            "C27",
        ),
        Symptom(
            "The loss goes up and down from step to step for thousands of steps, yet still falls.",
            "adam(rate)  # nothing to repair: the loss still falls. A lower rate does not end "
            "it: at each\n"
            "# rate the sharpness rose to that rate's own threshold",
            "P03",
        ),
        Symptom(
            "At a high rate the loss jumps in the first steps and never comes down again.",
            "adam(5e-3, b2=0.99)  # with b2 = .999 the best was 2e-2\n"
            "# Lowering the rate helped far more here than any warm-up at the high one",
            "P06",
        ),
        Symptom(
            "A loss that had reached 0 jumps up by many decades, again and again.",
            "adam(rate, b1=0.9, eps=curvature / (38 / rate))  # curvature: the largest, as by\n"
            "# adamlab.analysis.top_eigenvalue; 38 / rate: adam_stability_threshold at b1 = .9",
            "P07",
        ),
        Symptom(
            "A hand-written Adam without the correction jumps in its first steps.",
            "adamlab.chain(track_moments(), correct_bias(), precondition(), "
            "scale_by_learning_rate(1e-3))",
            "C26",
        ),
    ),
    "It stops too high, or is slow": (
        Symptom(
            "The loss falls a little and then stops; the features are in different units.",
            "supervised(standardized(source), model, loss)\n"
            "adam(1.5e-1)  # search the rate anew: near the best here, this diverges on the raw "
            "features",
            "C01",
        ),
        Symptom(
            "The train loss stops well above zero, though most of the data is learnt quickly.",
            "convergence_map(problem, adam, {\"learning_rate\": [1e-3]}, "
            "steps=300)[\"test_loss\"]\n"
            "# Run it for more and more steps, and stop where this rises (not measured here). "
            "Change nothing in Adam:\n"
            "# higher rates fit the wrong labels, and test worse.",
            "C06",
        ),
        Symptom(
            "The cost stays high where some targets are far off; or that of classes that are rare.",
            "supervised(source, model, huber)  # for outliers in regression; no rate cured the "
            "test loss\n"
            "# under imbalance, and weights for the classes were not tried",
            "C12",
        ),
        Symptom(
            "On a table in its original units, the loss stays far too high.",
            "supervised(standardized(source), model, loss)\n"
            "# Then search the rate again: the best were 3 (wine), 30 (breast cancer) and .03 "
            "(diabetes).",
            "C13",
        ),
        Symptom(
            "A larger batch trains more smoothly but more slowly, epoch by epoch.",
            "adam(rate * (batch_size / 64) ** 0.5)  # rate: the best at 64. A part of the delay "
            "remains:\n"
            "# a batch of 512 at its own best rate ended half a decade higher, with sgd more",
            "C16",
        ),
        Symptom(
            "A rate that was best for one batch size is poor at another.",
            "adam(rate * (batch_size / 64) ** 0.5)  # rate: your best at 64; beyond the noise "
            "scale, search again",
            "P05",
        ),
        Symptom(
            "A hand-written or differently corrected Adam trains as if its rate were another.",
            "adamlab.chain(track_moments(), correct_bias(), precondition(), "
            "scale_by_learning_rate(1e-3))  # compare forms at rates searched anew",
            "C11",
        ),
        Symptom(
            "A rate that worked for one data set fails for the next, whose inputs are larger.",
            "network((784, 128, 10), input_norm=True, batch_norm=True)",
            "C17",
        ),
        Symptom(
            "The reconstruction stops improving, or jumps, while plain SGD creeps on.",
            "adam(1e-2)  # near its best rate for 1,000 steps; 5e-2 for 100",
            "C18",
        ),
        Symptom(
            "Some features are rare, and what they need is learnt late.",
            "No claim here is about sparse gradients: map eps and the rate.",
        ),
    ),
    "It trains well and tests badly": (
        Symptom(
            "With a few dozen rows, the train loss falls while the test loss rises.",
            "with_input_noise(supervised(source, model, loss))\n"
            "# In 100 updates 0.1 gained .4 % at most at the judged rates, and cost the linear "
            "models 3 and\n"
            "# 7 % at their best; where a run overfits, larger noise gains more. Search "
            "input_noise, 0 included.",
            "C07",
        ),
        Symptom(
            "Train accuracy is 1 but test accuracy is lower; or both are at chance.",
            "convergence_map(penalized(supervised(source, model, loss)), adam, "
            "{\"learning_rate\": [1e-3]}, fixed={\"l2\": 3e-2})",
            "C15",
        ),
        Symptom(
            "SGD reaches the same train loss and does better on new images.",
            "sgd(1e-1, momentum=0.9)  # but here, at the same train loss, Adam tested just as well",
            "C23",
        ),
        Symptom(
            "The best weight decay changes whenever the learning rate does.",
            "adam_l2(1e-3, weight_decay=2e-2)  # or adamw(1e-3, weight_decay=2.0): the best on "
            "128 rows.\n"
            "# Search it again where the rate changes: the best moves with it in both forms alike.",
            "C25",
        ),
    ),
    "Other": (
        Symptom(
            "With the same settings, two libraries' Adam train differently.",
            "adamlab.compat.torch.adam(1e-3)  # or .keras: each library's own rule and defaults; "
            "adam(1e-3) is Optax's.\n"
            "# The initial weights differ too: PyTorch's were far worse in C09",
            "C21",
        ),
        Symptom(
            "The reconstruction falls slowly at a low rate for all parts.",
            "adam(1e-1)  # search one rate for all parts: it gains more than a second rate saves",
            "C19",
        ),
        Symptom(
            "The lengths of the dictionary's columns drift apart during training.",
            "adam(1e-2)  # the lengths hardly change in 100 steps, but do in 1,000 with a strong "
            "l1: lower that",
            "C20",
        ),
        Symptom(
            "Most rates of an even grid fail; the good ones are all near its lower end.",
            "np.geomspace(1e-4, 1e-1, 7)  # as the learning_rate axis of a convergence_map",
            "C14",
        ),
    ),
}  # fmt: skip
"""By what they look like."""


def remedy_of(experiment: str) -> str:
    """What to try where the symptom is that of the experiment; nothing if it has none."""
    every = (symptom for group in SYMPTOMS.values() for symptom in group)
    return next((symptom.remedy for symptom in every if symptom.experiment == experiment), "")
