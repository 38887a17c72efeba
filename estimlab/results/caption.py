"""The words under a figure: what was asked, answered and measured, from the table's sidecar alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from estimlab.files import replace_file
from estimlab.results.columns import COLUMNS, FIELDS
from estimlab.results.table import provenance_path, read_provenance, read_table


def write_caption(table_path: str | Path, path: str | Path) -> Path:
    """Write the caption of a table's figure as Markdown; equal tables and sidecars give equal bytes.

    Args:
        table_path: a table with its sidecar.
        path: the file to write.

    Raises:
        EstimlabError: a missing table, or one that is not the one the sidecar describes.
    """
    path = Path(path)
    replace_file(path, caption(table_path).encode())
    return path


def caption(table_path: str | Path) -> str:
    """Question, answer, what was measured on what, and where the table comes from.

    >>> from estimlab.results.places import known_table
    >>> from estimlab.results.study import find_study
    >>> caption(known_table(find_study("quickstart"), smoke=False)).splitlines()[0]
    '# quickstart'
    """
    table, record = read_table(table_path), read_provenance(table_path)
    measured = [
        f"- {label}: {', '.join(values)}"
        for label, column in (("Problems", "problem"), ("Estimators", "estimator"))
        if column in table and (values := [f"`{text}`" for text in dict.fromkeys(table[column]) if text])
    ]
    statistics = [_definition(name, one) for name, one in record.get("statistics", {}).items()]
    own = [_definition(name, record["columns"][name]) for name in _not_everywhere(record)]
    return "\n".join(
        [
            f"# {record.get('study', Path(table_path).stem)}",
            "",
            f"**Question.** {record.get('question', '')}",
            "",
            f"**Answer.** {record.get('answer') or 'Not written yet.'}",
            *(["", f"**It rests on.** {record['rests_on']}"] if record.get("rests_on") else []),
            "",
            "**What was measured.**",
            "",
            *measured,
            *statistics,
            *own,
            "",
            f"**Where it comes from.** {_origin(Path(table_path), record)}",
            "",
        ]
    )


def _definition(name: str, one: dict[str, str]) -> str:
    symbol = one["symbol"].replace(r"\|", r"\Vert ")
    unit = f" [{one['unit']}]" if one["unit"] not in ("", "1") else ""
    return f"- `{name}`{f', {symbol}' if '$' in symbol else ''}{unit}: {one['meaning']}"


def _not_everywhere(record: dict[str, Any]) -> list[str]:
    """Columns that only this study has."""
    return [name for name, one in record["columns"].items() if name not in COLUMNS | FIELDS and one.get("meaning")]


def _origin(table_path: Path, record: dict[str, Any]) -> str:
    """Command, commit, versions, device, seeds and time, as far as they are known."""
    versions = ", ".join(f"{name} {number}" for name, number in record.get("versions", {}).items())
    seeds = ", ".join(map(str, record.get("seeds", [])))
    commit = (record.get("commit") or "unknown")[:10] + (" with changes" if record.get("dirty") else "")
    place = f"{', '.join(record.get('device', []))} in {', '.join(record.get('dtype', []))}"
    return (
        f"`{record.get('command', '')}` at commit {commit} computed {record.get('cells', 0)} cells in "
        f"{record.get('cell_seconds', 0.0):.0f} s of work ({place}; seeds: {seeds or 'none'}; {versions}). The figure "
        f"is drawn from `{table_path.name}` ({record['rows']} rows, SHA-256 {record['sha256'][:16]}) alone; "
        f"`{provenance_path(table_path).name}` beside it says more."
    )
