"""Strict numerics for every test: no silent dtype or rank promotion; warnings are errors."""

import os
import warnings

os.environ.setdefault("BANDITLAB_DEVICES", "2")

import jax
import pytest

from banditlab.claims import jax_settings
from experiments import CHECKOUT

jax_settings.configure(CHECKOUT / ".jax_cache")

import banditlab  # noqa: F401  (sets the precision)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--optimized", action="store_true", help="compile as users do, not as fast as can be")


def pytest_configure(config):
    # Most of the time goes into compilation; `make test-all` leaves the optimisations on.
    jax.config.update("jax_disable_most_optimizations", not config.getoption("optimized"))


def pytest_collection_modifyitems(items):
    # Two workers start at the two halves: the long tests come first in each, so that neither is left with one.
    long = [item for item in items if item.path.name == "test_smoke_presets.py"]
    rest = [item for item in items if item.path.name != "test_smoke_presets.py"]
    half = len(rest) // 2
    items[:] = [*long[::2], *rest[:half], *long[1::2], *rest[half:]]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
