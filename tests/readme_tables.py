"""Tables of README and docs, made from the classes and from studies: this script writes them, a test compares them."""

import re
from pathlib import Path

from estimlab.cli.listing import listing
from estimlab.results.study import load_study
from estimlab.results.table import read_table

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KINDS = ("studies", "estimators", "problems", "claims", "derivations")


def markdown(kind):
    own = {"claims": lambda: claims(0), "derivations": lambda: claims(1), "studies": studies}
    header, lines = own.get(kind, lambda: listing(kind))()
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows)


def claims(place):
    """What `estimlab run claims` shows, from the committed table: what publications state, then what we derive."""
    study = load_study(ROOT / "studies" / "claims.py")
    _, table = study.module.summary(read_table(study.table_path(smoke=False)))[place]
    return list(table.columns), table.to_numpy().tolist()


def studies():
    """The question of every study, and its caption where it has a figure."""
    found = [(path.stem, load_study(path).study.question) for path in sorted((ROOT / "studies").glob("*.py"))]
    return ["study", "question"], [[_linked(name), question] for name, question in found]


def _linked(name):
    captions = sorted((ROOT / "figures" / "out").glob(f"{name}*.md"))
    return f"[{name}](../figures/out/{captions[0].name})" if captions else name


def with_tables(text):
    """A page with the tables that it holds, made again; and their kinds."""
    held = []
    for kind in KINDS:
        pattern = re.compile(rf"(<!-- {kind}: [^\n]*-->\n).*?(<!-- end of {kind} -->)", re.DOTALL)
        if pattern.search(text):
            text = pattern.sub(lambda m, kind=kind: f"{m[1]}{markdown(kind)}\n{m[2]}", text)
            held.append(kind)
    return text, held


def _cell(value):
    return "∞" if value == float("inf") else str(value).replace("|", "\\|")


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_tables(page.read_text())[0])
