"""The base of every error that is meant for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EstimlabError(ValueError):
    """What was given, what is allowed and what to do; the command line prints it without a traceback."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def closest(name: object, known: Iterable[str]) -> str:
    """`` Did you mean 'x' or 'y'?`` for the known names that resemble the given one, else the empty string."""
    matches = difflib.get_close_matches(str(name), list(known), n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, matches))}?" if matches else ""
