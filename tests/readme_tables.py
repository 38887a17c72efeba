"""The README's tables, made from the classes and from studies: this script writes them, a test compares them."""

import re
from pathlib import Path

from estimlab.cli.listing import listing
from estimlab.results.study import load_study
from estimlab.results.table import read_table

README = Path(__file__).parents[1] / "README.md"
KINDS = ("studies", "estimators", "problems", "claims", "derivations")


def markdown(kind):
    own = {"claims": lambda: claims(0), "derivations": lambda: claims(1), "studies": studies}
    header, lines = own.get(kind, lambda: listing(kind))()
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)


def claims(place):
    """What `estimlab run claims` shows, from the committed table: what publications state, then what we derive."""
    study = load_study(README.parent / "studies" / "claims.py")
    _, table = study.module.summary(read_table(study.table_path(smoke=False)))[place]
    return list(table.columns), table.to_numpy().tolist()


def studies():
    """The question of every study, and its caption where it has a figure."""
    found = [(path.stem, load_study(path).study.question) for path in sorted((README.parent / "studies").glob("*.py"))]
    return ["study", "question"], [[_linked(name), question] for name, question in found]


def _linked(name):
    captions = sorted((README.parent / "figures" / "out").glob(f"{name}*.md"))
    return f"[{name}]({captions[0].relative_to(README.parent)})" if captions else name


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
