"""gradient -> direction: other stages run in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from adamlab._checks import check_count
from adamlab.stages._about import About, Part, about, extra_args_of, parts_of, tell
from adamlab.stages._chain import chain
from adamlab.stages._decay_rate import DecayRate, check_decay, decay_at
from adamlab.stages._forms import holds, is_like, like_gradients, pack, unpack, zero_of
from adamlab.stages._kinds import GradientToDirection
from adamlab.stages.eight_bit import QuantizedBlocks
from adamlab.stages.numerics import (
    cast_like,
    lerp,
    real_dtype,
    real_product,
    scalar,
    tame,
    wide_dtype,
    widen,
)

# State fields, ours or Optax's, that hold gradients or parameters and so turn with the basis.
TURNING = frozenset({
    "mu", "mu_previous", "mu_slow", "previous", "previous_gradient", "difference", "queue",
    "grad_sum", "start", "ema", "trace", "average", "slow", "z",
})  # fmt: skip
# Fields of the parameters' shape that belong to the basis's columns and stay as they are.
STAYING = frozenset(
    {"nu", "nu_max", "rate", "residual", "mu_log_decay", "nu_log_decay", "sum_of_squares"}
)


class InBasisState(NamedTuple):
    """State of `in_basis`."""

    count: Any
    inner: Any
    """The inner stages' state, in the current basis."""
    factors: Any
    """A `PerLeaf`: per leaf a tuple of one (n, n) matrix a side, the average of the gradient's
    products along it; None for a side that is not turned."""
    basis: Any
    """As `factors`: the columns are the basis of that side."""


def in_basis(
    *stages: optax.GradientTransformation,
    decay: DecayRate = 0.95,
    every: int = 10,
    max_dim: int = 10_000,
) -> GradientToDirection:
    """Run `stages` in the slowly turning eigenbasis of Shampoo's preconditioner.

    With `L = ema(G Gᵀ)`, `R = ema(Gᵀ G)` and the orthonormal `Q_L`, `Q_R` near their eigenvectors,
    `stages` are fed with `Q_Lᵀ G Q_R`, and their direction `U` becomes `Q_L U Q_Rᵀ` (Vyas et al.
    2024, SOAP, algorithm 3). Leaves of three and more axes have such a matrix for each axis; leaves
    of one axis and sides longer than `max_dim` are not turned.

    The first step only finds the bases, by `eigh`, and moves nothing, so that no gradient is turned
    into a basis computed from itself; the stages take their first step on the second. After every
    `every` of their steps the bases are updated by one power iteration and a QR decomposition
    (algorithm 4), with the columns sorted by size and then put back, so that a second moment stays
    with its column. First moments and whatever else holds gradients or parameters, the state fields
    named in `TURNING`, are turned from the old basis to the new.

    The stages see the parameters and the extra argument `previous_grad` (for exact MARS) in the
    same basis, in float32 or wider. Derivatives treat the bases as constants.

    Args:
        stages: as for `chain`, from a gradient to a direction, such as `scale_by_adam()`.
        decay: decay rate of `L` and `R`.
        every: steps between two updates of the bases.
        max_dim: the longest side that is turned.

    Raises:
        ValueError: `decay` is outside [0, 1), `every` or `max_dim` is not a whole number >= 1, the
            stages do not fit together or need more than gradients and parameters, or `init` finds a
            state field like the parameters whose name does not tell whether it turns.
    """
    check_decay("decay", decay)
    check_count("every", every)
    check_count("max_dim", max_dim)
    inner = chain(*stages)
    for stage in stages:
        for extra in extra_args_of(stage):
            raise ValueError(
                f"in_basis: {', '.join(parts_of(stage))} needs {extra}, which cannot be turned "
                "into a basis; in_basis takes stages that need gradients and parameters alone"
            )

    def init(params: optax.Params) -> InBasisState:
        def each(make: Callable[[int, Any], jax.Array]) -> Any:
            def leaf(p: jax.Array) -> tuple[jax.Array | None, ...]:
                # Varies over the axes of a mesh that p does, as what takes its place will.
                zero = zero_of(p).astype(wide_dtype(p))
                sides = zip(p.shape, _turned_sides(p.shape, max_dim), strict=True)
                return tuple(make(n, zero.dtype) + zero if turned else None for n, turned in sides)

            return jax.tree.map(leaf, params)

        factors = each(lambda n, dtype: jnp.zeros((n, n), dtype))
        basis = each(lambda n, dtype: jnp.eye(n, dtype=dtype))
        kept = inner.init(params)
        if holds(kept, QuantizedBlocks):
            raise ValueError(
                "in_basis: what is kept in 8 bits cannot be turned; put store_state around it, "
                "store_state(in_basis(...), mu=EightBit())"
            )
        if holds(kept, InBasisState):
            raise ValueError("in_basis: one of its stages is an in_basis itself; use one of them")
        kept = _turn_state(kept, lambda tree: tree, params)  # a look at the names alone
        count = jnp.zeros([], jnp.int32)
        return InBasisState(count, kept, pack(factors, params), pack(basis, params))

    # Each branch is the same function at all steps: JAX compiles it once even if nothing is jitted.
    def step(updates: Any, kept: Any, basis: Any, params: Any, old: Any) -> tuple[Any, Any]:
        turned, seen, before = (
            None if tree is None else jax.tree.map(_into, tree, basis)
            for tree in (updates, params, old)
        )
        direction, kept = inner.update(turned, kept, seen, previous_grad=before)
        return cast_like(jax.tree.map(_out_of, direction, basis), updates), kept

    def rest(updates: Any, kept: Any, basis: Any, params: Any, old: Any) -> tuple[Any, Any]:
        del basis, params, old
        return jax.tree.map(jnp.zeros_like, updates), kept

    def stay(factors: Any, basis: Any, kept: Any, like: Any) -> tuple[Any, Any]:
        del factors, like
        return basis, kept

    def change(find: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[..., tuple[Any, Any]]:
        def changed(factors: Any, basis: Any, kept: Any, like: Any) -> tuple[Any, Any]:
            new = jax.tree.map(find, jax.lax.stop_gradient(factors), basis)

            def turn(tree: Any) -> Any:
                return jax.tree.map(lambda _, *leaf: _turn_leaf(*leaf), like, tree, basis, new)

            return new, _turn_state(kept, turn, like)

        return changed

    branches = (stay, change(_follow), change(_find))

    def update(
        updates: Any, state: InBasisState, params: Any, previous_grad: Any = None, **_: Any
    ) -> tuple[optax.Updates, InBasisState]:
        if previous_grad is not None:
            previous_grad = like_gradients("previous_grad", previous_grad, updates)
        count = optax.safe_increment(state.count)
        begun = count > 1
        basis = unpack(state.basis, updates)
        given = (updates, state.inner, basis, params, previous_grad)
        direction, kept = jax.lax.cond(begun, step, rest, *given)
        weight = decay_at(decay, state.count).complement
        factors = jax.tree.map(
            lambda g, old: _fold_factors(g, old, weight), updates, unpack(state.factors, updates)
        )
        due = jnp.where(begun, ((count - 1) % every == 0).astype(jnp.int32), 2)
        basis, kept = jax.lax.switch(due, branches, factors, basis, kept, updates)
        return direction, InBasisState(count, kept, pack(factors, updates), pack(basis, updates))

    stage = GradientToDirection.from_update("in_basis", init, _automatic(update))
    label = " · ".join(parts_of(inner))
    own = Part("in_basis", label, marks=("by leaf",), within=about(inner).parts)
    tell(stage.update, About((own,)))
    return stage


def _automatic(update: Callable[..., tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    """`update` on any mesh: inside it XLA chooses the shardings, even along explicit axes.

    A matrix product over a sharded side has no unique sharding that its type could state.
    """

    def anywhere(updates: Any, state: Any, params: Any, **extra: Any) -> tuple[Any, Any]:
        meshes = [jax.typeof(leaf).sharding.mesh for leaf in jax.tree.leaves(updates)]
        mesh = next((mesh for mesh in meshes if mesh.explicit_axes), None)
        if mesh is None:
            return update(updates, state, params, **extra)

        def as_it_came(leaf: Any) -> jax.sharding.NamedSharding:
            return jax.sharding.NamedSharding(mesh, jax.typeof(leaf).sharding.spec)

        return jax.sharding.auto_axes(
            lambda grads, state, params, extra: update(grads, state, params, **extra),
            out_sharding=jax.tree.map(as_it_came, (updates, state)),
        )(updates, state, params, extra)

    return anywhere


def _turned_sides(shape: tuple[int, ...], max_dim: int) -> list[bool]:
    """Whether each side has a basis; a side of length one has nothing to turn."""
    return [len(shape) > 1 and 1 < n <= max_dim for n in shape]


def _rotate(x: jax.Array, matrices: Any) -> jax.Array:
    """`x` in float32 or wider, each of its last sides multiplied by its matrix from the right."""
    first = x.ndim - len(matrices)
    for axis, matrix in enumerate(matrices, start=first):
        if matrix is not None:
            # Accelerators would round float32 to a few digits by default, here and on the way back.
            product = jnp.tensordot(widen(x), matrix, (axis, 0), precision="highest")
            x = jnp.moveaxis(product, -1, axis)
    return x


def _into(x: jax.Array, basis: Any) -> jax.Array:
    if all(q is None for q in basis):
        return x
    return _rotate(tame(x), jax.tree.map(jnp.conj, basis))


def _out_of(x: jax.Array, basis: Any) -> jax.Array:
    return _rotate(x, jax.tree.map(jnp.transpose, basis))


def _fold_factors(g: jax.Array, factors: Any, weight: Any) -> Any:
    wide = widen(tame(g))

    def fold(axis: int, factor: jax.Array) -> jax.Array:
        others = [i for i in range(g.ndim) if i != axis]
        products = jnp.tensordot(wide, jnp.conj(wide), (others, others), precision="highest")
        return lerp(factor, products, scalar(weight, real_dtype(factor)))

    return tuple(None if f is None else fold(axis, f) for axis, f in enumerate(factors))


def _find(factor: jax.Array, basis: jax.Array) -> jax.Array:
    """The eigenvectors."""
    return jnp.linalg.eigh(_unit(factor))[1].astype(basis.dtype)


def _follow(factor: jax.Array, basis: jax.Array) -> jax.Array:
    """One power iteration from `basis`, made orthonormal from the largest column down."""
    powered = jnp.matmul(_unit(factor), basis, precision="highest")
    sizes = jnp.sum(real_product(powered, basis), axis=0)
    order = jnp.argsort(-sizes)
    return jnp.linalg.qr(powered[:, order])[0][:, jnp.argsort(order)].astype(basis.dtype)


def _unit(factor: jax.Array) -> jax.Array:
    """`factor` over a power of two near its largest element.

    Its eigenvectors do not depend on its scale, but LAPACK's thresholds do.
    """
    _, power = jnp.frexp(jnp.max(jnp.abs(factor)))
    limit = jnp.finfo(factor.dtype).maxexp - 2
    one = jnp.ones([], jnp.finfo(factor.dtype).dtype)
    return factor / jnp.ldexp(one, jnp.clip(power, -limit, limit)).astype(factor.dtype)


def _turn_leaf(x: Any, old: Any, new: Any) -> Any:
    """One leaf of a state from the old basis to the new, in its own dtype."""
    if all(q is None for q in old) or isinstance(x, optax.MaskedNode):
        return x
    between = [
        None if a is None else jnp.matmul(a.T, jnp.conj(b), precision="highest")
        for a, b in zip(old, new, strict=True)
    ]
    return _rotate(x, between).astype(x.dtype)


def _turn_state(state: Any, turn: Callable[[Any], Any], like: Any) -> Any:
    """The state with every field that has a basis turned; `like` is a tree like the parameters."""
    if isinstance(state, dict):
        return {key: _turn_state(part, turn, like) for key, part in state.items()}
    if not isinstance(state, tuple):
        return state
    if not hasattr(state, "_fields"):
        return tuple(_turn_state(part, turn, like) for part in state)
    parts = []
    for name, part in zip(state._fields, state, strict=True):
        if name in TURNING:
            part = part if part is None else turn(part)
        elif name not in STAYING and not is_like(part, like):
            part = _turn_state(part, turn, like)
        elif name not in STAYING:
            raise ValueError(
                f"in_basis: {type(state).__name__}.{name} is like the parameters, but whether it "
                f"turns with them is unknown; call it {', '.join(sorted(TURNING))} if it holds "
                f"gradients or parameters, {', '.join(sorted(STAYING))} if it does not"
            )
        parts.append(part)
    return type(state)(*parts)
