"""Strict JAX for every test: two CPU devices, no silent promotion of dtypes or ranks."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import jax
import pytest
from hypothesis import settings
from jax.experimental.compilation_cache import compilation_cache

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("adamlab", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("adamlab")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: at the end one would keep a worker when the others have nothing left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """Leave what is imported out of garbage collections, one of which each leak check makes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let the workers of one run take compiled programs from each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = tmp_path_factory.getbasetemp().parent / "programs"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        compilation_cache.reset_cache()  # what was compiled by importing the tests went without


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 in JAX for one test."""
    with jax.enable_x64(True):
        yield
