"""State and steps of sharded parameters, beyond what the law `sharded` asks of every optimizer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import adamlab as al
from adamlab import optimizers, stages


def mesh_of(kind):
    return jax.sharding.Mesh(np.array(jax.devices()[:2]), ("part",), axis_types=(kind,))


def placed(tree, mesh, spec):
    return jax.device_put(tree, NamedSharding(mesh, spec))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_eight_bits_are_sharded_along_the_last_axis_too(kind):
    mesh, columns = mesh_of(kind), P(None, "part")
    tx = stages.store_state(al.adam(1e-3), mu=stages.EightBit(8, 1), nu=stages.EightBit(8, 1))
    whole = jax.random.normal(jax.random.key(0), (4, 32))
    step = jax.jit(tx.update)
    alone, _ = step(whole, tx.init(whole), whole)
    with jax.set_mesh(mesh):
        params = placed(whole, mesh, columns)
        state = tx.init(params)
        kept = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
        assert len(kept) == 4
        assert all(len(leaf.sharding.device_set) == 2 for leaf in kept)
        assert not any(leaf.sharding.is_fully_replicated for leaf in kept)
        updates, _ = step(params, state, params)
        assert "all-gather" not in step.lower(params, state, params).compile().as_text()
    np.testing.assert_allclose(updates, alone, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adanorm", "soap", "sm3", "adafactor"])
def test_a_step_may_be_sharded_by_hand(name):
    """In `shard_map` a state varies over the mesh from the start, as it will after a step."""
    tx = getattr(optimizers, name)(1e-3)
    mesh = mesh_of(AxisType.Auto)

    def two_steps(params):
        def step(carry, _):
            params, state = carry
            updates, state = tx.update(params, state, params)
            return (params + updates, state), None

        return jax.lax.scan(step, (params, tx.init(params)), length=2)[0][0]

    rows = jax.random.normal(jax.random.key(0), (4, 3))
    sharded = jax.jit(jax.shard_map(two_steps, mesh=mesh, in_specs=P("part"), out_specs=P("part")))
    halves = jnp.concatenate([jax.jit(two_steps)(half) for half in jnp.split(rows, 2)])
    np.testing.assert_allclose(sharded(rows), halves, rtol=1e-5)


def test_leaves_that_are_sharded_unlike_are_grouped_apart():
    mesh = mesh_of(AxisType.Explicit)
    tx = stages.group_small_leaves(al.adam(1e-3), max_size=100)
    with jax.set_mesh(mesh):
        params = {
            "a": placed(jnp.ones(4), mesh, P("part")), "b": placed(jnp.ones(3), mesh, P()),
            "c": placed(jnp.ones((2, 2)), mesh, P(None, None)),
        }  # fmt: skip
        state = tx.init(params)
        assert [leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim] == [4, 7, 4, 7]
        updates, _ = jax.jit(tx.update)(params, state, params)
    wanted = jax.tree.map(lambda p: np.full(p.shape, -1e-3), params)
    jax.tree.map(lambda u, want: np.testing.assert_allclose(u, want, rtol=1e-5), updates, wanted)
