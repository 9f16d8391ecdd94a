"""Strict JAX for every test: no silent rank or type promotion, full-precision products; and `--campaign`."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")


def pytest_addoption(parser):
    parser.addoption(
        "--campaign",
        action="store_true",
        help="run tests of faults with all their tries, which takes minutes each",
    )


@pytest.fixture(scope="session")
def campaign(request):
    """Whether all tries are asked for, not the few of every day."""
    return request.config.getoption("--campaign")
