"""Laws about ways to call: JAX's transformations must leave the result as it is."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._compare import FUSED, as_numpy, same
from adamlab.testing._law import Broken, NotApplicable, law
from adamlab.testing._subject import Subject, stack
from adamlab.testing._trees import example_gradients, example_matrix


@law
def pure(subject: Subject) -> None:
    """Called twice with the same arguments, init and update give the same bits; they leave their
    arguments alone and let no tracer escape (`jax.checking_leaks`).
    """
    tx, (params, (grads, _)) = subject.tx, example_matrix()
    state = tx.init(params)
    same("the state of a second init", tx.init(params), state)
    before = jax.tree.map(as_numpy, (params, state, grads))
    first = subject.step(tx, grads, state, params)
    first = jax.tree.map(as_numpy, first)
    second = subject.step(tx, grads, state, params)
    same("(updates, state) of a second call", jax.tree.map(as_numpy, second), first)
    after = jax.tree.map(as_numpy, (params, state, grads))
    same("after the call, (parameters, state, gradients)", after, before)
    with jax.checking_leaks():
        jax.eval_shape(lambda g, s, p: subject.step(tx, g, s, p), grads, state, params)


@law
def jit(subject: Subject) -> None:
    """A jitted update is the update. Within 16 ulp of each leaf's largest element."""
    update = jax.jit(lambda g, s, p: subject.step(subject.tx, g, s, p))
    jitted = subject.run(subject.tx, *example_matrix(), step=update)
    same("jitted, (updates, state)", jitted[:2], subject.alone[:2], FUSED)


@law
def scan(subject: Subject) -> None:
    """Steps in `lax.scan` are steps in a loop. Within 16 ulp of each leaf's largest element."""
    same("scanned, updates", subject.compiled, stack(subject.alone.updates), FUSED)


@law
def vmap(subject: Subject) -> None:
    """Each lane of a vmap over parameters and gradients equals a single run. Within 16 ulp of each
    leaf's largest element.
    """
    params, gradients = example_matrix()
    others = example_gradients(2, params, seed=1)
    lanes = [(params, gradients), (jax.tree.map(lambda p: 2 * p, params), others)]

    def run(params: Any, gradients: Any) -> Any:
        return subject.run(subject.tx, params, gradients).updates

    single = [subject.alone.updates, run(*lanes[1])]
    same("vmapped, updates", jax.vmap(run)(*stack(lanes)), stack(single), FUSED)


@law
def cond(subject: Subject) -> None:
    """One branch of a `lax.cond` may update and the other keep the state: traced, not run."""
    tx, params, gradients = subject.tx, *example_matrix()

    def maybe(flag: jax.Array, grads: Any) -> Any:
        def take(state: Any) -> Any:
            return subject.step(tx, grads, state, params)

        def skip(state: Any) -> Any:
            return jax.tree.map(jnp.zeros_like, params), state

        return jax.lax.cond(flag, take, skip, tx.init(params))

    jax.eval_shape(maybe, jnp.asarray(True), gradients[0])


@law
def donated(subject: Subject) -> None:
    """Parameters and a fresh state may be donated: no two of their leaves share a buffer, and none
    is a buffer that the transformation holds on to.
    """
    params, _ = example_matrix()
    first, second = (jax.tree_util.tree_leaves_with_path(subject.tx.init(params)) for _ in "ab")
    for (path, one), (_, other) in zip(first, second, strict=True):
        if one is other and isinstance(one, jax.Array):
            place = jax.tree_util.keystr(path)
            raise Broken(
                f"init gives one array twice, at {place}: donating the state would free both"
            )
    expected = jax.tree.map(as_numpy, params)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some donated buffers were not usable")
        # A jitted update gives fresh buffers, so that the first step is the one that can fail.
        keep = jax.jit(lambda params, state: (params, state), donate_argnums=(0, 1))
        kept, _ = keep(params, subject.tx.init(params))
    same("donated and kept, the parameters", jax.tree.map(as_numpy, kept), expected)


@law
def sharded(subject: Subject) -> None:
    """Parameters sharded along an axis over two devices are updated as on one, whether XLA chooses
    the shardings in between or types carry them (`jax.sharding.AxisType`). Within 16 ulp of each
    leaf's largest element.
    """
    devices = jax.local_devices()
    if len(devices) < 2:
        raise NotApplicable("there is one device; set jax_num_cpu_devices=2 before JAX starts")
    params, gradients = example_matrix()
    run = jax.jit(lambda p, g: subject.scan(subject.tx, p, g))
    for kind in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit):
        mesh = jax.sharding.Mesh(np.array(devices[:2]), ("part",), axis_types=(kind,))

        def cut(tree: Any, axis: int, mesh: jax.sharding.Mesh = mesh) -> Any:
            spec = jax.sharding.PartitionSpec(*[None] * axis, "part")
            return jax.device_put(tree, jax.sharding.NamedSharding(mesh, spec))

        with jax.set_mesh(mesh):
            updates = run(cut(params, 0), cut(stack(gradients), 1))
        what = f"sharded along an {kind.name.lower()} axis, updates"
        same(what, updates, stack(subject.alone.updates), FUSED)
