"""Sentences with a number or a ranking word that no table bears out, and why: definitions, versions, settings."""

from __future__ import annotations

PAGES: dict[str, str] = {}
"""Words of a sentence of README or docs, and the reason."""

ANSWERS: dict[tuple[str, str], str] = {}
"""Study and sentence of its answer, and the reason."""
