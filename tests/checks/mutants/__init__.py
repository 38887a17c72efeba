"""Estimators that are wrong in one way each, and the check that must say so.

Every module of this folder is found by itself. The entries of its ``MUTANTS`` are ``name: (estimator, check that must
refute it first, what must be said)``; those of its ``CAUSED``, wrong on some problems only, are ``name: (estimator,
check that must refute it, what must be said, word for the cause)``.
"""

import importlib
import pkgutil


def _collected(which):
    found = {}
    for one in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        entries = getattr(importlib.import_module(f"{__name__}.{one.name}"), which, {})
        twice = found.keys() & entries.keys()
        assert not twice, f"two mutants are called {twice}"
        found |= entries
    return found


MUTANTS = _collected("MUTANTS")
CAUSED = _collected("CAUSED")
