"""A function written as text: it prints as the call that it is, hashes, pickles, and goes into studies and snippets."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

import torch

from estimlab.declared import Declared
from estimlab.errors import EstimlabError


@dataclass(frozen=True)
class Expression(Declared):
    """``Expression("reinmax.reinmax(logits, 1.0)[0]", "logits", imports=("reinmax",))``: a call of a package.

    Torch is always there. The text is Python that is executed: give none that you would not run.

    Attributes:
        code: a Python expression.
        arguments: names of its arguments, separated by commas.
        imports: modules that it names, imported at its first call.

    >>> Expression("torch.sigmoid(2 * a)")(torch.zeros(1)).item()
    0.5
    """

    code: str
    arguments: str = "a"
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            _compiled(self.code)
        except SyntaxError as error:
            raise EstimlabError(
                f"Expression(code={self.code!r}): this is no Python expression ({error.msg})."
            ) from error
        known = [name.strip() for name in self.arguments.split(",")]
        if not all(name.isidentifier() for name in known):
            raise EstimlabError(f"Expression(arguments={self.arguments!r}): give names by commas, as 'a, u'.")

    def __call__(self, *values: Any) -> Any:
        """The expression at these arguments.

        Errors:
            EstimlabError: a module that is not installed, another number of arguments, a name that is unknown.
        """
        names = [name.strip() for name in self.arguments.split(",")]
        if len(names) != len(values):
            raise EstimlabError(f"{self!r} takes {self.arguments}; it got {len(values)} value(s).")
        try:
            return eval(_compiled(self.code), _modules(self.imports), dict(zip(names, values, strict=True)))
        except NameError as error:
            raise EstimlabError(
                f"{self!r}: {error}. Name it in arguments=..., or its module in imports=(...,)."
            ) from error


@lru_cache
def _compiled(code: str) -> CodeType:
    return compile(code, "<expression>", "eval")


@lru_cache
def _modules(imports: tuple[str, ...]) -> dict[str, Any]:
    namespace: dict[str, Any] = {"torch": torch}
    for name in imports:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise EstimlabError(f"{name} cannot be imported ({error}). Install it beside estimlab.") from error
        root = name.partition(".")[0]
        namespace[root] = importlib.import_module(root)
    return namespace
