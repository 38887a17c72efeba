"""The covering set covers, mutants of every class of mistake are refuted with their cause, right estimators pass."""

import functools
import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import mutants
import pytest
import scipy.stats
import torch
import unusual
from networks import flat

import estimlab as el
from estimlab.checks.claims.expectation import everything
from estimlab.checks.comparisons import compare
from estimlab.checks.integrals.means import quick_mean
from estimlab.checks.judge import CHECKS
from estimlab.checks.problems.causes import blame
from estimlab.checks.problems.covering import COVERING
from estimlab.checks.problems.settings import PLAIN, Setting, plainer
from estimlab.checks.report import Cause

DIMENSIONS = {
    "layers": [(1,), (2,), (6,), ((2, 2),), (2, 2), (5, 1), (1, 2, 1)],
    "law": ["Logistic", "Gaussian", "Uniform", "Triangular"],
    "scale": [1.0, 0.5, 2.0],
    "coding": [(0.0, 1.0), (-1.0, 1.0), (-0.5, 2.0)],
    "batch": [1, 3],
    "tail": [False, True],
    "target": [False, True],
    "reward": ["f", "100 f", "f + 100"],
    "head": [False, True],
}
BY_CLAIM = {check.claim: check for check in CHECKS}
FALSE_ALARMS = Path(__file__).parents[2] / "benchmarks" / "results" / "false_alarms.json"
CAUSES = set(Cause.__args__) - {""}


def pairs(settings):
    return {
        ((one, getattr(setting, one)), (other, getattr(setting, other)))
        for setting in settings
        for one, other in combinations(DIMENSIONS, 2)
    }


def test_each_pair_of_values_of_two_dimensions_occurs():
    wanted = {
        ((one, a), (other, b))
        for one, other in combinations(DIMENSIONS, 2)
        for a in DIMENSIONS[one]
        for b in DIMENSIONS[other]
    }
    assert wanted <= pairs(COVERING)
    alone = {pair for pair in wanted if pair[0][0] != "layers"}
    assert alone <= pairs([setting for setting in COVERING if setting.layers == (1,)])
    assert len(set(COVERING)) == len(COVERING)


@pytest.mark.parametrize("setting", COVERING, ids=lambda setting: setting.title)
def test_a_problem_is_what_it_says(setting):
    problem = setting.case.build()
    assert problem.dtype == torch.float64
    assert problem.batch == setting.batch
    assert (problem.targets is not None) == setting.target
    assert [site.size for site in problem.sites] == list(setting.widths)
    assert {(type(site.units.law).__name__, site.units.law.scale) for site in problem.sites} == {
        (setting.law, setting.scale)
    }
    assert {(site.units.low, site.units.high) for site in problem.sites} == {setting.coding}
    assert all(site.shared == setting.shared for site in problem.sites)
    one, other = el.exact_reference(problem), el.PathEnumeration().gradient(problem)
    assert float((flat(one.value) - flat(other.value)).norm()) <= 1e-11 * (1 + float(flat(other.value).norm()))


def test_every_step_to_a_plainer_problem_ends_at_the_plain_one():
    for setting in COVERING:
        left = [setting]
        while left[-1] != PLAIN:
            left.append(next(one for _, _, one in plainer(left[-1])))
            assert len(left) < 20
        assert not list(plainer(PLAIN))


def test_the_cause_is_what_cannot_be_made_plain():
    start = Setting((2, 2), "Gaussian", 0.5, (-0.5, 2.0), 3, True, True, "100 f", True)
    found = blame(start, lambda setting: setting.depth > 1 and setting.coding != (0.0, 1.0))
    assert found.setting == Setting((1, 1), coding=(-0.5, 2.0))
    assert found.causes == ("layer", "coding")
    assert found.words == "wrong with 2 layers and states -0.5 and 2, right without"
    assert blame(start, lambda setting: True).causes == ()
    spared = blame(start, lambda setting: setting.coding != (-1.0, 1.0))
    assert (spared.setting, spared.cause) == (PLAIN, "coding")
    assert spared.words == "wrong with states 0 and 1, right with states -1 and 1"


def test_an_error_of_one_block_is_not_hidden_by_larger_blocks():
    """Units in the tail have gradients of 1e-6: a tail that is wrong by half is nothing beside the layer above."""
    tail = mutants.CAUSED["no gradient far out"][0]
    setting = Setting((2, 2), batch=3, tail=True, head=True, degree=1)
    assert set(compare(setting, tail, everything, quick_mean).wrong) >= {"stages.0.weight", "stages.0.bias"}


def test_the_documentation_counts_the_mutants():
    page = " ".join((Path(__file__).parents[2] / "docs" / "checks.md").read_text().split())
    everywhere, somewhere = len(mutants.MUTANTS), len(mutants.CAUSED)
    wrong = (
        f"{everywhere + somewhere} estimators that are wrong in one way each, {somewhere} of them on some problems only"
    )
    assert wrong in page


def test_there_are_mutants_of_every_class():
    counts = Counter(cause for *_, cause in mutants.CAUSED.values())
    assert set(counts) == CAUSES
    assert min(counts.values()) >= 4
    assert sum(counts.values()) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("name", mutants.CAUSED)
def test_a_mutant_is_refuted_with_its_cause(name):
    estimator, claim, said, cause = mutants.CAUSED[name]
    row = BY_CLAIM[claim].row(estimator, 0)
    assert row.verdict == "refuted", row.detail
    assert row.cause == cause, row.detail
    assert re.search(said, row.detail), row.detail
    compile(row.snippet, "snippet", "exec")
    assert "el.Problem(" in row.snippet


report_of = functools.cache(lambda name: [check.row(unusual.RIGHT[name], 0) for check in CHECKS])


@pytest.mark.slow
@pytest.mark.parametrize("name", unusual.RIGHT)
def test_an_unusual_estimator_that_is_right_passes(name):
    wrong = [(row.claim, row.verdict, row.detail) for row in report_of(name) if row.verdict == "refuted"]
    assert wrong == []


@pytest.mark.slow
def test_a_default_claim_is_explained():
    row = BY_CLAIM["exact within one layer, degree 1"].row(el.StraightThrough("identity"), 0)
    assert row.verdict == "not claimed"
    row = BY_CLAIM["exact within one layer, degree 1"].row(mutants.CAUSED["a scale forgotten"][0], 0)
    assert "let claims() return el.Claims(exact_degree=0) to claim nothing" in row.detail
    row = BY_CLAIM["exact within one layer, degree 1"].row(mutants.CAUSED["a score without scale"][0], 0)
    assert "exact_degree=0" not in row.detail


def test_false_alarms_over_a_thousand_seeds_are_as_rare_as_stated():
    """A run of ``python -m benchmarks.false_alarms``: one in a thousand rejected once, none confirmed."""
    if not FALSE_ALARMS.is_file():
        pytest.skip("python -m benchmarks.false_alarms has not been run")
    found = json.loads(FALSE_ALARMS.read_text())
    assert found["seeds"] >= 1000
    for gate, counts in found["gates"].items():
        p = scipy.stats.binomtest(counts["rejected"], found["seeds"], found["family_error"], "greater").pvalue
        assert p > 0.01, gate
        assert counts["confirmed"] == 0, gate
