"""What a user gives to the judge, read or refused: an estimator, names of claims, reasons, a seed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from estimlab.arguments import described
from estimlab.errors import EstimlabError, closest
from estimlab.estimators import catalogue
from estimlab.estimators.base import Estimator
from estimlab.estimators.claims import Claims

DERIVE = "derive it from el.HardForward, or from el.Estimator"


def instance(given: Any) -> Estimator:
    """The estimator: itself, built from a class without arguments, or of the catalogue by its name.

    Errors:
        EstimlabError: nothing of these, or one whose claims are none; says what to write.
    """
    found = _estimator(given)
    claims = found.claims()
    if not isinstance(claims, Claims):
        raise EstimlabError(
            f"{found!r}: claims() returned {described(claims)}; it must return an el.Claims, as "
            "el.Claims(exact_degree=0)."
        )
    return found


def _estimator(given: Any) -> Estimator:
    if isinstance(given, Estimator):
        return given
    if isinstance(given, str):
        return _named(given)
    if isinstance(given, type) and issubclass(given, Estimator):
        return _built(given)
    raise EstimlabError(_refusal(given))


def instances(given: Any) -> list[Estimator]:
    """The estimators of a list."""
    if isinstance(given, type | str) or not isinstance(given, Iterable):
        shown = f"{given.__name__}()" if isinstance(given, type) else repr(given)
        raise EstimlabError(f"A list of estimators is asked for: write [{shown}].")
    return [instance(one) for one in given]


def _named(name: str) -> Estimator:
    found: list[Any] = catalogue()
    classes = {cls.name: cls for cls in found} | {cls.__name__: cls for cls in found}
    if name not in classes:
        raise EstimlabError(
            f"There is no estimator {name!r}.{closest(name, classes)} Give an estimator, as el.ZGR(), "
            "or a name that `estimlab list estimators` shows."
        )
    return _built(classes[name])


def _built(cls: type[Estimator]) -> Estimator:
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        methods = ", ".join(f"{name}()" for name in missing)
        raise EstimlabError(f"{cls.__name__} is abstract: derive a class from it that defines {methods}.")
    try:
        return cls()
    except TypeError as error:
        said = str(error).removeprefix(f"{cls.__name__}.__init__() ")
        raise EstimlabError(f"{cls.__name__} cannot be built: {said}. Give an instance.") from error


def _refusal(given: Any) -> str:
    """Why something is no estimator, and what to write."""
    inner = getattr(given, "estimator", None)
    if isinstance(inner, Estimator):
        return f"{type(given).__name__} holds an estimator and is none: give {inner!r}."
    if isinstance(given, list | tuple) and given and all(_is_estimator(one) for one in given):
        return f"{len(given)} estimators are given: check one at a time, or use el.parametrize_with_checks."
    if isinstance(given, type):
        return f"{given.__name__} is a class, but not one of estimators: {DERIVE}."
    if inspect.isroutine(given) or type(given).__module__.startswith("torch.nn"):
        name = getattr(given, "__name__", type(given).__name__)
        return (
            f"{name} is a function: wrap it as an estimator by el.SampledFunction({name}, 'logit') where it draws "
            "states, el.RelaxedFunction where it relaxes them, el.SpikeFunction where it is a step."
        )
    if hasattr(given, "surrogate") or hasattr(given, "derivative"):
        return f"{type(given).__name__} looks like an estimator and is not derived from one: {DERIVE}."
    return f"{described(given)} is not an estimator: give one, as el.ZGR(), or a name of the catalogue, or {DERIVE}."


def _is_estimator(one: Any) -> bool:
    return isinstance(one, Estimator) or (isinstance(one, type) and issubclass(one, Estimator))


def chosen_claims(given: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """The known claims that are named, in full or by the words that they begin with, in either case; all for None."""
    if given is None:
        return known
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise EstimlabError("claims is empty: name one claim at least, or leave it out to judge all.")
    chosen = {claim for name in names for claim in _matching(name, known)}
    return tuple(claim for claim in known if claim in chosen)


def _matching(name: Any, known: tuple[str, ...]) -> list[str]:
    if not isinstance(name, str):
        raise EstimlabError(f"claims: {name!r} is not a text. {_list(known)}")
    found = [claim for claim in known if _begins(claim, name)]
    if not found:
        raise _unknown(name, known)
    return [name] if name in known else found


def _begins(claim: str, words: str) -> bool:
    """Whether a claim begins with whole words."""
    given = words.strip()
    return bool(given) and re.match(rf"{re.escape(given)}(?!\w)", claim, re.IGNORECASE) is not None


def expectations(given: Any, known: tuple[str, ...]) -> dict[str, str]:
    """Reasons by claim; every claim is known, every reason is a text.

    Errors:
        EstimlabError: otherwise.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise EstimlabError(
            f"expected_failed_checks={given!r:.80}: give reasons by claim, as {{{known[-1]!r}: 'not served'}}."
        )
    for claim, reason in given.items():
        if claim not in known:
            raise _unknown(claim, known)
        if not isinstance(reason, str) or not reason.strip():
            raise EstimlabError(f"expected_failed_checks: say why {claim!r} is expected to fail, not {reason!r}.")
    return dict(given)


def expected_of(texts: Iterable[str], known: tuple[str, ...]) -> dict[str, str]:
    """Reasons by claim from ``CLAIM=REASON``; a claim may itself contain ``=``.

    >>> from estimlab.checks import CLAIMS, expected_of
    >>> expected_of(["exact moments=its factor is random"], CLAIMS)
    {'exact moments': 'its factor is random'}
    """
    return dict(_expected_pair(text, known) for text in texts)


def _expected_pair(text: str, known: tuple[str, ...]) -> tuple[str, str]:
    claim = next((claim for claim in known if text.startswith(f"{claim}=")), text.partition("=")[0])
    if "=" not in text:
        raise EstimlabError(f"--expect-failed {text!r}: write CLAIM=REASON.{closest(claim, known)}")
    return claim, text[len(claim) + 1 :].strip()


def _unknown(claim: Any, known: tuple[str, ...]) -> EstimlabError:
    holding = [one for one in known if str(claim).strip() and str(claim).lower() in one.lower()]
    return EstimlabError(f"There is no claim {claim!r}.{closest(claim, known) or _meant(holding)} {_list(known)}")


def _meant(claims: list[str]) -> str:
    return f" Did you mean {' or '.join(map(repr, claims))}?" if claims else ""


def _list(known: tuple[str, ...]) -> str:
    return f"Claims: {'; '.join(known)}."


def one_of(name: str, given: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse a value that is not among the allowed ones."""
    if not any(given is one or (isinstance(one, str) and given == one) for one in allowed):
        raise EstimlabError(f"{name}={given!r}: give {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}.")


def require_seed(seed: Any) -> None:
    """Refuse what is no seed."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise EstimlabError(f"seed={seed!r}: a seed is an integer from 0 to 2^32 - 1.")
