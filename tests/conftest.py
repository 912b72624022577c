"""Strict JAX for every test: two CPU devices, no silent promotion of dtypes or ranks."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("adamlab", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("adamlab")


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 in JAX for one test."""
    with jax.enable_x64(True):
        yield
