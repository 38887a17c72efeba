"""Examples in docstrings do what they say, and every public class and function has one."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import estimlab

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(estimlab.__path__, "estimlab.")
    if not module.name.endswith("__main__")
)
STUB = ast.parse(Path(estimlab.__file__).with_suffix(".pyi").read_text())
PUBLIC = sorted(alias.name for node in STUB.body if isinstance(node, ast.ImportFrom) for alias in node.names)
WITHOUT_EXAMPLE = {"Estimator", "HardForward", "NoiseLaw", "Objective", "RelaxedForward", "Units"}  # abstract


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


def has_example(value):
    """In its own docstring, or in that of a method that its class defines."""
    methods = [method for method in vars(value).values() if inspect.isroutine(method)] if inspect.isclass(value) else []
    return any(doctest.DocTestParser().get_examples(one.__doc__ or "") for one in (value, *methods))


def test_every_public_class_and_function_has_an_example():
    called = {name: getattr(estimlab, name) for name in PUBLIC if callable(getattr(estimlab, name))}
    assert len(called) > 60
    assert {name for name, value in called.items() if not has_example(value)} == WITHOUT_EXAMPLE
