"""Which dimension of a problem decides: the plainest problem that still fails, and what cannot be made plain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from estimlab.checks.problems.settings import PLAIN, Setting, in_words, plainer
from estimlab.checks.report import Cause

Fails = Callable[[Setting], bool | None]
"""Whether a problem fails; None where it cannot be judged."""

OTHERS: tuple[tuple[Cause, str, tuple[Any, ...]], ...] = (
    ("batch", "batch", (3,)),
    ("coding", "coding", ((-1.0, 1.0), (-0.5, 2.0))),
    ("law", "law", ("Gaussian", "Triangular")),
    ("law", "scale", (2.0,)),
    ("target", "target", (True,)),
)
"""Values to try where the plain problem fails: it may be the plain value that is not served."""


@dataclass(frozen=True)
class Blame:
    """What was found.

    Attributes:
        setting: the plainest problem that fails.
        causes: words for the dimensions that decide; none where the plain problem and all like it fail.
        words: a sentence, or nothing.
    """

    setting: Setting
    causes: tuple[Cause, ...] = ()
    words: str = ""

    @property
    def cause(self) -> Cause:
        """The first word."""
        return self.causes[0] if self.causes else ""


def blame(setting: Setting, fails: Fails) -> Blame:
    """Make dimension after dimension plain while the problem still fails; what is left decides."""
    known = cache(fails)
    smaller = next((one for _, _, one in plainer(setting) if known(one)), None)
    while smaller is not None:
        setting = smaller
        smaller = next((one for _, _, one in plainer(setting) if known(one)), None)
    left = dict.fromkeys((cause, words) for cause, words, _ in plainer(setting))
    if not left:
        return _spared(setting, known)
    wrong = " and ".join(words for _, words in left)
    return Blame(setting, tuple(dict.fromkeys(cause for cause, _ in left)), f"wrong with {wrong}, right without")


def _spared(setting: Setting, fails: Fails) -> Blame:
    """Where the plain problem fails: the dimension in which another value does not."""
    for cause, one in _like(setting):
        if fails(one) is False:
            name = next(name for name in ("batch", "coding", "law", "scale", "target") if _differ(one, setting, name))
            words = f"wrong with {in_words(setting, name)}, right with {in_words(one, name)}"
            return Blame(setting, (cause,), words)
    return Blame(setting)


def _differ(one: Setting, other: Setting, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _like(setting: Setting) -> Iterator[tuple[Cause, Setting]]:
    for cause, name, values in OTHERS:
        if getattr(setting, name) == getattr(PLAIN, name):
            for value in values:
                yield cause, replace(setting, **{name: value})


def first_failure(settings: Iterable[Setting], fails: Fails) -> Blame | None:
    """What decides where the first problem fails; None where none does."""
    wrong = next((setting for setting in settings if fails(setting)), None)
    return None if wrong is None else blame(wrong, fails)
