"""Every mutant is rejected, by the check that is meant for it, with a program that runs."""

import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mutants
import pytest
from mutants.bases import Density
from mutants.moments import Jittered, Tangled

import estimlab as el
import estimlab.estimators


@functools.cache
def report_of(name):
    """Judged by the claim that concerns it."""
    estimator, claim, _ = mutants.MUTANTS[name]
    return el.check_estimator(estimator, claims=claim, on_fail=None)


@pytest.mark.slow
@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_mutant_is_refuted_by_the_check_meant_for_it(name):
    _, claim, said = mutants.MUTANTS[name]
    report = report_of(name)
    first = report.of("refuted")[0]
    assert first.claim == claim, first.detail
    assert re.search(said, first.detail), first.detail
    assert (report.passed, report.verdict, report.exit_code) == (False, "refuted", 1)
    assert first.snippet
    json.dumps(report.as_dict(), allow_nan=False)


BY_INTEGRALS = [name for name, (_, claim, said) in mutants.MUTANTS.items() if "degree" in claim and "z =" not in said]


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_INTEGRALS)
def test_the_printed_program_shows_the_bias(name):
    estimator, claim, _ = mutants.MUTANTS[name]
    (row,) = (row for row in report_of(name).rows if row.claim == claim)
    names = {}
    exec(compile(row.snippet, "snippet", "exec"), names)
    assert names["estimator"] == estimator
    mean, truth = names["mean"]["stages.0.logits"], names["truth"]
    assert float((mean - truth).norm() / truth.norm()) == pytest.approx(row.effect, rel=1e-9)
    assert row.effect > 0.005


@pytest.mark.slow
def test_every_estimator_of_the_catalogue_holds():
    """In processes without executed annotations, as a user runs it."""
    command = [sys.executable, "-m", "estimlab.cli", "check", "--all", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    reports = {report["name"]: report for report in json.loads(done.stdout)}
    assert list(reports) == [cls.name for cls in estimlab.estimators.catalogue()]
    rows = [(name, row) for name, report in reports.items() for row in report["claims"]]
    assert [(name, row) for name, row in rows if row["verdict"] in ("refuted", "undecided")] == []
    assert {report["verdict"] for report in reports.values()} == {"holds"}
    assert done.returncode == 0
    assert max(report["seconds"] for report in reports.values()) < 60


@pytest.mark.slow
def test_what_sampling_does_not_reject_stays_undecided():
    """The right mean, of ten uniforms that all interact: out of the reach of every integral."""
    report = el.check_estimator(Tangled(1.0), on_fail=None)
    assert report.passed
    assert (report.verdict, report.exit_code) == ("undecided", 2)
    (row,) = (row for row in report.rows if row.claim.endswith("degree 1"))
    assert row.verdict == "undecided"
    assert "would be seen" in row.detail


@pytest.mark.slow
def test_a_factor_of_ten_uniforms_is_decided():
    report = el.check_estimator(Jittered(1.0), on_fail=None)
    assert (report.verdict, report.exit_code) == ("holds", 0)
    (row,) = (row for row in report.rows if row.claim == "exact moments")
    assert (row.verdict, "derivative_moments" in row.detail) == ("not claimed", True)  # it refuses them


@pytest.mark.slow
@el.parametrize_with_checks([el.ZGR, el.Reinforce(0.3)])
def test_parametrized(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_items_have_readable_names_and_fail_with_the_program():
    mark = el.parametrize_with_checks([Density(2.0)]).mark
    items = {item.id: item.values for item in mark.args[1]}
    assert "Density(factor=2.0)-exact within one layer, degree 1" in items
    assert not any("degree 2" in name for name in items)  # not claimed
    estimator, check = items["Density(factor=2.0)-exact within one layer, degree 1"]
    with pytest.raises(pytest.fail.Exception, match=r"2\.0000 x the true gradient(.|\n)*import estimlab as el"):
        check(estimator)


@pytest.mark.slow
def test_a_fault_fails_alone():
    outcomes = {"failed": [], "skipped": []}
    for item in el.parametrize_with_checks([mutants.MUTANTS["NaN"][0]]).mark.args[1]:
        estimator, check = item.values
        try:
            check(estimator)
        except pytest.fail.Exception:
            outcomes["failed"].append(check.check.claim)
        except pytest.skip.Exception as reason:
            outcomes["skipped"].append(str(reason))
    assert outcomes["failed"] == ["finite"]
    assert set(outcomes["skipped"]) == {"undecided: not judged: 'finite' is refuted"}


@dataclasses.dataclass(frozen=True)
class Needy(Density):
    """A field without a default."""

    width: float = dataclasses.field(kw_only=True)


def test_a_class_that_needs_arguments_is_named():
    with pytest.raises(el.EstimlabError, match=r"Needy\(\): give width"):
        el.parametrize_with_checks([Needy])
