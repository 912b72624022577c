"""The update rules once more, in NumPy and float64, one element at a time as the papers write them.

Each oracle yields the parameters after every step. None shares code with the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Oracle = Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]]

LR, B1, B2, EPS, DECAY = 0.01, 0.9, 0.99, 1e-8, 0.05


def sgd(theta, grads):
    for g in grads:
        theta = theta - LR * g
        yield theta


def sgd_momentum(theta, grads):
    m = np.zeros_like(theta)
    for g in grads:
        m = 0.9 * m + g
        theta = theta - LR * m
        yield theta


def sgd_nesterov(theta, grads):
    m = np.zeros_like(theta)
    for g in grads:
        m = 0.9 * m + g
        theta = theta - LR * (g + 0.9 * m)
        yield theta


def rmsprop(theta, grads, inside=True, corrected=False):
    v = np.zeros_like(theta)
    for t, g in enumerate(grads, start=1):
        v = 0.9 * v + 0.1 * g**2
        w = v / (1 - 0.9**t) if corrected else v
        theta = theta - LR * g / (np.sqrt(w + EPS) if inside else np.sqrt(w) + EPS)
        yield theta


def rmsprop_outside(theta, grads):
    yield from rmsprop(theta, grads, inside=False)


def rmsprop_corrected(theta, grads):
    yield from rmsprop(theta, grads, corrected=True)


def rmsprop_centered(theta, grads):
    v, m = np.ones_like(theta), np.zeros_like(theta)
    for g in grads:
        v = 0.9 * v + 0.1 * g**2
        m = 0.9 * m + 0.1 * g
        theta = theta - LR * g / np.sqrt(v - m**2 + EPS)
        yield theta


def rmsprop_momentum(theta, grads):
    v, u = np.zeros_like(theta), np.zeros_like(theta)
    for g in grads:
        v = 0.9 * v + 0.1 * g**2
        u = 0.9 * u + LR * g / np.sqrt(v + EPS)
        theta = theta - u
        yield theta


def _adam(
    theta, grads, *, eps_root=0.0, l2=0.0, decoupled=0.0, independent=0.0, order="", hat=False
):
    m, v, v_max = (np.zeros_like(theta) for _ in range(3))
    for t, g in enumerate(grads, start=1):
        g = g + l2 * theta
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g**2
        c1, c2 = 1 - B1**t, 1 - B2**t
        if order == "optax":
            v_max = np.maximum(v_max, v / c2)
            u = (m / c1) / (np.sqrt(v_max) + EPS)
        elif order == "torch":
            v_max = np.maximum(v_max, v)
            u = (m / c1) / (np.sqrt(v_max) / np.sqrt(c2) + EPS)
        elif hat:
            u = np.sqrt(c2) / c1 * m / (np.sqrt(v) + 1e-3)
        else:
            u = (m / c1) / (np.sqrt(v / c2 + eps_root) + EPS)
        theta = theta - LR * (u + decoupled * theta) - independent * theta
        yield theta


def adam(theta, grads):
    yield from _adam(theta, grads)


def adam_eps_root(theta, grads):
    yield from _adam(theta, grads, eps_root=1e-2)


def adam_epsilon_hat(theta, grads):
    yield from _adam(theta, grads, hat=True)


def adamw(theta, grads):
    yield from _adam(theta, grads, decoupled=DECAY)


def adam_l2(theta, grads):
    yield from _adam(theta, grads, l2=DECAY)


def adam_independent(theta, grads):
    yield from _adam(theta, grads, independent=DECAY)


def amsgrad(theta, grads):
    yield from _adam(theta, grads, order="optax")


def amsgrad_torch(theta, grads):
    yield from _adam(theta, grads, order="torch")


def adam_scheduled(theta, grads):
    """Adam whose b2 changes: the mass is one less the product of all b2 so far."""
    m, v, product = np.zeros_like(theta), np.zeros_like(theta), 1.0
    for t, g in enumerate(grads, start=1):
        b2 = 1 - 1 / (t + 1)
        product *= b2
        m = B1 * m + (1 - B1) * g
        v = b2 * v + (1 - b2) * g**2
        theta = theta - LR * (m / (1 - B1**t)) / (np.sqrt(v / (1 - product)) + EPS)
        yield theta


def adam_without_correction(theta, grads):
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for g in grads:
        m = B1 * m + (1 - B1) * g
        v = B2 * v + (1 - B2) * g**2
        theta = theta - LR * m / (np.sqrt(v) + EPS)
        yield theta
