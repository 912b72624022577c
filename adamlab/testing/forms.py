"""Laws about trees, shapes and dtypes: seen by tracing alone."""

from __future__ import annotations

import jax

from adamlab.testing._compare import same_form
from adamlab.testing._law import Broken, law
from adamlab.testing._subject import Subject


@law
def state_form(subject: Subject) -> None:
    """The state keeps its tree, shapes and dtypes from init on, as `lax.scan` needs, in float32,
    bfloat16, float16, float64 and mixed trees.
    """
    for dtype, forms in subject.forms.items():
        same_form(f"in {dtype}, the state after a step", forms.after, forms.state)


@law
def updates_form(subject: Subject) -> None:
    """The updates have the tree, shapes and dtypes of the parameters, in float32, bfloat16,
    float16, float64 and mixed trees.
    """
    for dtype, forms in subject.forms.items():
        same_form(f"in {dtype}, updates", forms.updates, forms.params)


@law
def gradient_dtype(subject: Subject) -> None:
    """Gradients in bfloat16 for parameters in float32, and the reverse, leave the state in the form
    it has from init on and give updates in the form of the gradients: traced, not run.
    """
    for dtype, gradients in (("float32", "bfloat16"), ("bfloat16", "float32")):
        forms = subject.trace(dtype, gradients)
        case = f"for {gradients} gradients of {dtype} parameters"
        same_form(f"{case}, the state after a step", forms.after, forms.state)
        same_form(f"{case}, updates", forms.updates, forms.grads)


@law
def one_trace(subject: Subject) -> None:
    """A jitted update is traced once: every leaf of the state has the same form at init and after a
    step, and the same weak type.
    """
    forms = subject.forms["float32"]
    same_form("the state after a step", forms.after, forms.state)
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(forms.state), jax.tree.leaves(forms.after), strict=True
    )
    for (path, old), new in pairs:
        if old.weak_type != new.weak_type:
            raise Broken(
                f"state{jax.tree_util.keystr(path)} is {'weakly' if old.weak_type else 'strongly'} "
                "typed at init but not after a step"
            )


@law
def strict_promotion(subject: Subject) -> None:
    """init and update run where JAX promotes neither dtypes nor ranks by itself
    (`jax_numpy_dtype_promotion=strict`, `jax_numpy_rank_promotion=raise`).
    """
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for dtype in ("float32", "bfloat16"):
            subject.trace(dtype)
