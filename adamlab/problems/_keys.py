"""Random keys for what is added to something that draws with the same key itself."""

from __future__ import annotations

import zlib

import jax


def key_for(purpose: str, key: jax.Array) -> jax.Array:
    """A key made of `key` and a text; `fold_in` with a small number gives what `split` gives."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))
