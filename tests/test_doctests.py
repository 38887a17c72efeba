"""Examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import estimlab

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(estimlab.__path__, "estimlab.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
