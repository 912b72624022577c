"""Laws about saving: a state that comes back goes on as if nothing had happened."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamlab.testing._compare import as_numpy, same
from adamlab.testing._law import NotApplicable, law
from adamlab.testing._subject import Subject
from adamlab.testing._trees import example_gradients, example_params


@law
def pickled(subject: Subject) -> None:
    """A state comes back from `pickle` bit for bit, and the next update is the same."""
    _goes_on(subject, lambda state, _: pickle.loads(pickle.dumps(state)))


@law
def flax_bytes(subject: Subject) -> None:
    """A state comes back from `flax.serialization.to_bytes` into a fresh one bit for bit, and the
    next update is the same.
    """
    try:
        from flax import serialization
    except ImportError:
        raise NotApplicable("Flax is not installed") from None
    _goes_on(
        subject,
        lambda state, fresh: serialization.from_bytes(fresh, serialization.to_bytes(state)),
    )


@law
def orbax(subject: Subject) -> None:
    """A state comes back from an Orbax checkpoint into a fresh one bit for bit, and the next update
    is the same.
    """
    try:
        import orbax.checkpoint as ocp  # type: ignore[import-untyped]
    except ImportError:
        raise NotApplicable("orbax-checkpoint is not installed") from None

    def through(state: Any, fresh: Any) -> Any:
        handler = ocp.StandardCheckpointHandler()
        with tempfile.TemporaryDirectory() as folder, ocp.Checkpointer(handler) as checkpointer:
            path = Path(folder) / "state"
            checkpointer.save(path, args=ocp.args.StandardSave({"state": state}))
            back = checkpointer.restore(path, args=ocp.args.StandardRestore({"state": fresh}))
            return jax.tree.map(_uncommitted, back["state"])

    _goes_on(subject, through)


def _uncommitted(leaf: Any) -> Any:
    """The leaf, bound to no device: Orbax binds it, and each operation would compile again."""
    if isinstance(leaf, jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.asarray(np.asarray(leaf))
    return leaf


def _goes_on(subject: Subject, through: Callable[[Any, Any], Any]) -> None:
    tx, params = subject.tx, subject.plain.params
    state = subject.plain.state
    back = through(state, tx.init(example_params()))
    same("the state that came back", *(jax.tree.map(as_numpy, s) for s in (back, state)))
    grads = example_gradients(4)[-1]
    expected, _ = subject.step(tx, grads, state, params)
    got, _ = subject.step(tx, grads, back, params)
    same("the next update", got, expected)
