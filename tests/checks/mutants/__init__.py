"""Estimators that are wrong in one way each, and the check that must say so.

Every module of this folder that has a ``MUTANTS`` is found by itself; its entries are
``name: (estimator, check that must refute it first, what must be said)``.
"""

import importlib
import pkgutil


def _collected():
    found = {}
    for one in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        entries = getattr(importlib.import_module(f"{__name__}.{one.name}"), "MUTANTS", {})
        twice = found.keys() & entries.keys()
        assert not twice, f"two mutants are called {twice}"
        found |= entries
    return found


MUTANTS = _collected()
