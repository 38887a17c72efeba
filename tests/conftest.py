"""Tests run on one thread per process; shape annotations are executed unless ESTIMLAB_ANNOTATIONS is 0."""

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"  # before numpy or torch is imported: as many processes as cores run side by side

import pytest  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

if os.environ.get("ESTIMLAB_ANNOTATIONS", "1") != "0":
    hook = install_import_hook("estimlab", "typechecking.check")
    hook.__enter__()


def pytest_addoption(parser):
    parser.addoption("--vary-seed", action="store_true", help="draw seeds afresh, to measure how often tests flake")
    parser.addoption("--device", default="cpu", help="device of the tests that can run on several")


@pytest.fixture
def seed(request):
    """The default seed, or a fresh one under --vary-seed."""
    if request.config.getoption("--vary-seed"):
        import secrets

        return secrets.randbits(31)
    return 0


@pytest.fixture
def device(request):
    """The device under test."""
    return request.config.getoption("--device")
