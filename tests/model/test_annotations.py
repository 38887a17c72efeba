"""Shapes in annotations are strings: unquoted, they are no annotation at all."""

import ast
import pathlib

import estimlab


def shapes(tree):
    """The second argument of every ``Float[Tensor, ...]``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Tuple):
            first, *rest = node.slice.elts
            if node.value.id in ("Float", "Int", "Bool") and isinstance(first, ast.Name) and first.id == "Tensor":
                yield from rest


def test_shapes_are_strings():
    found = 0
    for path in pathlib.Path(estimlab.__file__).parent.rglob("*.py"):
        for shape in shapes(ast.parse(path.read_text())):
            assert isinstance(shape, ast.Constant), f"{path.name}:{shape.lineno} {ast.unparse(shape)}"
            found += 1
    assert found > 50
