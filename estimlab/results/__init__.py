"""What a result is: columns, cells and studies, the store, tables and their provenance, figures. No torch."""

from __future__ import annotations

from estimlab.errors import EstimlabError
from estimlab.results.columns import COLUMNS, STATISTICS, Column, describe
from estimlab.results.identity import content_key
from estimlab.results.matrix import Matrix
from estimlab.results.study import Cell, LoadedStudy, Study, load_study

__all__ = [
    "COLUMNS",
    "STATISTICS",
    "Cell",
    "Column",
    "EstimlabError",
    "LoadedStudy",
    "Matrix",
    "Study",
    "content_key",
    "describe",
    "load_study",
]
