"""An estimator that a user names on the command line: of the catalogue, or of a file or module of their own."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from estimlab.cli.listing import signature
from estimlab.errors import EstimlabError, closest
from estimlab.estimators import catalogue
from estimlab.estimators.base import Estimator

FORMS = "For your own give PATH.py:CLASS, or MODULE:CLASS with a module that Python finds from this folder."


def build_estimator(target: str, settings: list[str]) -> Estimator:
    """The estimator that a user names.

    Args:
        target: the name of an estimator of the catalogue, or ``MODULE:NAME`` or ``PATH.py:NAME`` of a class of
            estimators or of an estimator.
        settings: its fields, as ``name=value``; a value is a Python literal, or else text.

    Raises:
        EstimlabError: an unknown file, module, class or field, one that is no estimator or cannot be built.
    """
    found = _find(target)
    fields = dict(_setting(text) for text in settings)
    if isinstance(found, Estimator):
        return _built(type(found), fields, lambda: dataclasses.replace(found, **fields) if fields else found)
    return _built(found, fields, lambda: found(**fields))


def _built(cls: type[Estimator], fields: dict[str, Any], build: Any) -> Estimator:
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise EstimlabError(f"{cls.__name__} is abstract: it lacks {', '.join(f'{name}()' for name in missing)}.")
    try:
        return build()
    except TypeError as error:
        known = signature(cls)
        has = "It has no fields." if known == "()" else f"Its fields are {known}; give them by --set name=value."
        raise EstimlabError(
            f"{cls.__name__} cannot be built with {fields or 'its defaults'}: {error}. {has}"
        ) from error
    except EstimlabError:
        raise
    except Exception as error:
        raise EstimlabError(
            f"{cls.__name__} cannot be built with {fields or 'its defaults'}. {_said(error)}"
        ) from error


def _find(target: str) -> Any:
    """A class of estimators, or an estimator."""
    module_name, separator, name = target.rpartition(":")
    if not separator:
        return _in_catalogue(target)
    if not (module_name and name):
        raise EstimlabError(f"{target!r} lacks the name of a class. {FORMS}")
    module = _from_file(Path(module_name)) if _is_path(module_name) else _from_module(module_name)
    found = vars(module).get(name)
    if isinstance(found, Estimator) or (inspect.isclass(found) and issubclass(found, Estimator)):
        return found
    defined = [key for key, value in vars(module).items() if _defines(module, value)]
    what = f"{module_name} has no {name!r}." if found is None else f"{name} of {module_name} is not an estimator."
    ours = f"It defines the estimators {', '.join(defined)}." if defined else "It defines no estimator:"
    how = "" if defined else " derive a class from el.HardForward, or from el.Estimator."
    raise EstimlabError(f"{what}{closest(name, defined)} {ours}{how}{_hidden(module_name, module, name)}")


def _hidden(module_name: str, module: ModuleType, name: str) -> str:
    """A file of this folder that an installed module of the same name hides."""
    file = Path(f"{module_name.replace('.', '/')}.py")
    if _is_path(module_name) or not file.is_file() or Path(getattr(module, "__file__", None) or "") == file.resolve():
        return ""
    return f" An installed module of this name hides the file {file} of this folder: write {file}:{name} for that."


def _defines(module: ModuleType, value: Any) -> bool:
    own = inspect.isclass(value) and issubclass(value, Estimator) and value.__module__ == module.__name__
    return own or isinstance(value, Estimator)


def _in_catalogue(target: str) -> Any:
    by_name = {cls.name: cls for cls in catalogue()} | {cls.__name__: cls for cls in catalogue()}
    if target in by_name:
        return by_name[target]
    if _is_path(target):
        raise EstimlabError(f"{target!r} lacks the name of a class: write {target}:CLASS.")
    names = sorted({cls.name for cls in by_name.values()})
    raise EstimlabError(
        f"There is no estimator {target!r}.{closest(target, by_name)} Names: {', '.join(names)}. {FORMS}"
    )


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name or "\\" in name


def _from_module(name: str) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # behind what is installed, which a file of this folder must not replace
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise EstimlabError(f"There is no module {error.name!r} here. {FORMS}") from error
        raise EstimlabError(f"{name} cannot be imported. {_said(error)}") from error
    except (Exception, SystemExit) as error:
        raise EstimlabError(f"{name} cannot be imported. {_said(error)}") from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        there = sorted(other.name for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise EstimlabError(f"There is no file {path}.{closest(path.name, there)}")
    if path.suffix != ".py":
        raise EstimlabError(f"{path} is no .py file. {FORMS}")
    spec = importlib.util.spec_from_file_location(f"estimlab_user_{path.stem}", path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    sys.path.append(str(path.parent.resolve()))  # it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise EstimlabError(f"{path} cannot be imported. {_said(error, path)}") from error
    return module


def _said(error: BaseException, path: Path | None = None) -> str:
    """Kind and text of an error, and the line of the user's file where it came up."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{text}: {(error.text or '').strip()}"
    calls = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in calls if path is not None and Path(frame.filename) == path.resolve()]
    return f"{text} (line {frames[-1].lineno}: {frames[-1].line})" if frames else text


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise EstimlabError(f"--set {text!r}: write name=value, for example --set temperature=0.5.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
