"""Sentences with a number or a ranking word that no table bears out, and why: definitions, versions, settings."""

from __future__ import annotations

PAGES: dict[str, str] = {
    "every number with its standard error": "what a table holds, by its columns",
    "a network of 2^400 paths": "40 layers of ten units: the sentence under Speed has a rule",
    "Python 3.11 or newer": "a version, that of pyproject.toml",
    "The quickstart: one 64-10-10 network": "the problem's sizes and stages",
    "1 by default, 0 claims nothing": "the definition of a claim",
    "by integrals over the noise to 1e-10": "a tolerance of the judge",
    "about twenty lines that shows it on the smallest problem": "the form of a report",
    "*not rejected* is never reported": "a principle of reports, held by tests of the checks",
    "Exit code 0": "the meaning of exit codes, held by tests of the command",
    "every claim becomes a test of your own suite": "an instruction",
    "Its 95 % intervals cover 92 to 94 %": "simulations that the documentation of squared_bias_interval names",
    "The judge is judged too": "a count of the mutants in tests/checks/mutants, held by their tests",
    "at depth 3, the head counted": "the definition of a column",
    "Small recipes are fastest with": "advice on threads",
    "The GPU path (bfloat16": "what has not been run: no result",
    "how busy the machine is moves absolute numbers by a third": "a caution from several runs, of which one is kept",
    "0: below 1e-10": "the definition of an entry of the table",
    'a bias that is "not zero" exceeds 0.001': "bounds that the claims study defines",
    "7a to 7h are one statement": "the names of rows of the table",
    "Flach (2020, arXiv 2006.03143) published": "a work that is cited",
    "beside the training of a larger one": "what a study does: no result",
    "SIGTERM with exit code 143": "an exit code",
    "a new version gets a new name": "the rule of the frozen suite",
    "arXiv 2006.06880": "a work that is cited",
    "1 being the best, between the estimators before and after it": "how a place is counted",
    "A unit has at most 16 bits": "a limit, held by tests of units",
    "each unit the same alone as beside the others": "what is tried of units, held by their tests",
    "a panel per statistic with a mark per layer": "what a figure looks like that draws itself",
}
"""Words of a sentence of README or docs, and the reason."""

ANSWERS: dict[tuple[str, str], str] = {}
"""Study and sentence of its answer, and the reason."""
