"""The README's tables, made from the classes: `python tests/readme_tables.py` writes them, a test compares them."""

import re
from pathlib import Path

from estimlab.listing import listing

README = Path(__file__).parents[1] / "README.md"
KINDS = ("estimators", "problems")


def markdown(kind):
    header, lines = listing(kind)
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)


def with_tables(text):
    for kind in KINDS:
        pattern = rf"(<!-- {kind}: [^\n]*-->\n).*?(<!-- end of {kind} -->)"
        text, count = re.subn(pattern, lambda m, kind=kind: f"{m[1]}{markdown(kind)}\n{m[2]}", text, flags=re.DOTALL)
        assert count == 1, kind
    return text


def _cell(value):
    return "∞" if value == float("inf") else str(value).replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
