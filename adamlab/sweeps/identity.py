"""What a sweep computes, as text that is the same in every process and changes only with it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

PROGRAM = "program"
"""The setting of a store that holds the digest of what it computes."""


def digest(program: ClosedJaxpr) -> str:
    """Eight characters that change with a program's operations and with the values in them.

    Whatever a function reads, such as through a closure, a module or an object's attribute, is an
    operation or a value of its program; how it is written, named or commented is not. What a
    callback to Python reads is neither (`calls_back`). How random bits are made counts too.
    """
    sha = hashlib.sha256(without_addresses(str(_nameless(program, {}))).encode())
    for value in _values(program):
        keys = isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(value) if keys else value)
        sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    sha.update(str(jax.config.values["jax_threefry_partitionable"]).encode())
    return sha.hexdigest()[:8]


def _nameless(program: Any, done: dict[Any, Any]) -> Any:
    """A program in which all functions that it calls have one name."""
    if program in done:  # what is called twice is printed once
        return done[program]
    if isinstance(program, ClosedJaxpr):
        done[program] = program.replace(jaxpr=_nameless(program.jaxpr, done))
        return done[program]

    def plain(thing: Any) -> Any:
        return _nameless(thing, done) if _is_program(thing) else thing

    equations = []
    for equation in program.eqns:
        params = jax.tree.map(plain, dict(equation.params), is_leaf=_is_program)
        same = {"name": "called"} if isinstance(params.get("name"), str) else {}
        equations.append(equation.replace(params=params | same))
    done[program] = program.replace(eqns=equations)
    return done[program]


def calls_back(program: Any) -> bool:
    """Whether a program asks Python for values as it runs, which may come from anywhere."""
    equations = getattr(program, "jaxpr", program).eqns
    return any(
        equation.primitive.name in ("pure_callback", "io_callback")
        or any(map(calls_back, inner_programs(equation)))
        for equation in equations
    )


def without_addresses(text: str) -> str:
    """A `repr` without the addresses of objects, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def inner_programs(equation: Any) -> Iterator[ClosedJaxpr | Jaxpr]:
    """The programs that an equation calls: the branches of a conditional, the body of a loop."""
    parameters = jax.tree.leaves(dict(equation.params), is_leaf=_is_program)
    return filter(_is_program, parameters)


def _values(program: Any) -> Iterator[Any]:
    """The values in a program and in those that it calls, which its text shortens."""
    if isinstance(program, ClosedJaxpr):
        yield from program.consts
        program = program.jaxpr
    for equation in program.eqns:
        yield from (atom.val for atom in equation.invars if isinstance(atom, Literal))
        for inner in inner_programs(equation):
            yield from _values(inner)


def _is_program(thing: Any) -> bool:
    return isinstance(thing, ClosedJaxpr | Jaxpr)
