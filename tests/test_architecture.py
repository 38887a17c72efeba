"""Who may import whom, read off the syntax trees; and what `import estimlab` loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "estimlab"
BASIC = {"errors", "progress", "arguments", "declared", "numbers", "files", "arrays"}
MODEL = BASIC | {"model", "randomness", "draws"}
MEASURED = MODEL | {"references", "estimators", "measurement"}
ALLOWED = {
    "errors": set(),
    "arguments": {"errors"},
    "declared": {"errors", "arguments"},
    "files": {"errors"},
    "arrays": {"errors", "arguments", "files"},
    "progress": set(),
    "numbers": set(),
    "model": BASIC | {"randomness"},
    "randomness": BASIC,
    "draws": BASIC,
    "references": MODEL,
    "estimators": MODEL,
    "problems": MODEL | {"references"},
    "measurement": MODEL | {"references", "estimators", "results"},
    "training": MODEL | {"estimators", "results"},
    "adapters": MODEL | {"estimators", "measurement"},
    "checks": MEASURED,
    "results": BASIC,
    "cells": MEASURED | {"results", "problems", "training", "adapters"},
    "cli": BASIC | {"results", "estimators", "checks", "training", "cells"},
}


def part_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "estimlab" else node.module for alias in node.names
            ]
        yield from (name.split(".")[1] for name in names if name.startswith("estimlab."))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_part_imports_only_what_lies_below_it(path):
    part = part_of(path)
    if part == "__init__":
        return
    found = set(imported_parts(path)) - {part, "__version__"}
    assert found <= ALLOWED[part], f"{path.name} imports {found - ALLOWED[part]}"


@pytest.mark.parametrize("folder", ["estimlab/results", "figures"])
def test_results_and_figures_know_no_torch(folder):
    for path in (ROOT / folder).rglob("*.py"):
        modules = {
            alias.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Import) for alias in n.names
        }
        modules |= {n.module for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)}
        assert not any(str(name).split(".")[0] == "torch" for name in modules), path


def test_import_estimlab_is_light():
    code = "import sys, estimlab; print(*({'torch', 'pandas', 'scipy', 'numpy', 'matplotlib'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_every_public_name_exists():
    import estimlab

    for name in estimlab.__all__:
        assert getattr(estimlab, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        estimlab.nothing_like_it  # noqa: B018
