"""Word answers, captions and README again, from the tables."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from estimlab.results.caption import write_caption
from estimlab.results.statements import Statement, rewritten, tables_of
from estimlab.results.study import load_study
from estimlab.results.table import rewrite_answer

STUDIES = Path(__file__).resolve().parents[1]
ROOT = STUDIES.parent


def pages() -> list[Path]:
    """README and the pages of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def stated() -> tuple[Statement, ...]:
    """Every statement that stands on a page, in the order of their modules."""
    if str(STUDIES) not in sys.path:
        sys.path.append(str(STUDIES))
    names = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    modules = [importlib.import_module(f"statements.{name}") for name in names]
    return tuple(one for module in modules for one in getattr(module, "README", ()))


def main() -> None:
    """Write everything that statements word."""
    tables = tables_of(STUDIES)
    for path in sorted(STUDIES.glob("[!_]*.py")):
        loaded = load_study(path)
        table = loaded.table_path(smoke=False)
        answer = loaded.worded(tables)
        rewrite_answer(table, loaded.study.question, answer.text, answer.rests_on)
        if (ROOT / "figures" / path.name).is_file():
            write_caption(table, ROOT / "figures" / "out" / f"{path.stem}.md")
    texts = {page: page.read_text() for page in pages()}
    for statement in stated():
        holders = [page for page, text in texts.items() if statement.pattern.search(text)]
        page = holders[0] if holders else pages()[0]  # the README's error says that no page holds it
        texts[page] = rewritten(texts[page], (statement,), tables)
    for page, text in texts.items():
        page.write_text(text)


if __name__ == "__main__":
    main()
