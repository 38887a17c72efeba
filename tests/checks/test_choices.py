"""What a user chooses: claims, expected failures, what happens on a failure, seeds; and what is refused."""

import warnings
from dataclasses import dataclass

import pytest
import torch
from mutants.bases import Density
from mutants.contracts import MUTANTS as CONTRACTS
from mutants.faults import MUTANTS as FAULTS
from torch import nn

import estimlab as el
from estimlab.checks import CHECKS, CLAIMS, CheckFailedWarning, expected_of
from estimlab.checks.given import chosen_claims, expectations, instance, instances, one_of, require_seed
from estimlab.checks.judge import FAULTS as FAULT_CLAIMS
from estimlab.checks.judge import chosen_checks
from estimlab.checks.remedies import BY_CAUSE, BY_CLAIM, with_remedy
from estimlab.checks.report import Row

DEGREE = "exact within one layer, degree 1"
VALUE = "is a value"
WRONG = CONTRACTS["not a dataclass"][0]
REASON = {VALUE: "undecorated on purpose"}
ON_FAIL = ("raise", "warn", None)


def claims_of(report):
    return [row.claim for row in report.rows]


def test_claims_are_chosen_by_name_or_by_the_words_that_begin_it():
    assert [check.claim for check in chosen_checks("EXACT within")] == [
        c for c in CLAIMS if c.startswith("exact within")
    ]
    assert [check.claim for check in chosen_checks([VALUE, "runs"])] == ["runs", VALUE]  # in the order of a report
    assert [check.claim for check in chosen_checks("finite")] == ["finite"]  # in full before a beginning
    assert [check.claim for check in chosen_checks(" finite")] == ["finite", "finite where units are certain"]
    assert chosen_checks(None) == CHECKS
    assert claims_of(el.check_estimator(el.ZGR(), claims=["runs", VALUE])) == ["runs", VALUE]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"claims": "exact witin one layer"}, "There is no claim 'exact witin one layer'. Did you mean 'exact within"),
        ({"claims": "nothing"}, "There is no claim 'nothing'. Did you mean 'changes nothing'? Claims: runs; one value"),
        ({"claims": ["runs", "un"]}, "There is no claim 'un'. Did you mean"),
        ({"claims": " "}, "There is no claim ' '. Claims: runs;"),
        ({"claims": []}, "claims is empty"),
        ({"expected_failed_checks": {"is a valu": "x"}}, "There is no claim 'is a valu'. Did you mean 'is a value'"),
        ({"expected_failed_checks": {VALUE: ""}}, "say why 'is a value' is expected to fail"),
        ({"seed": -1}, "seed=-1: a seed is an integer"),
    ],
)
def test_wrong_choices_are_refused_before_anything_is_judged(options, message):
    with pytest.raises(el.EstimlabError) as refusal:
        el.check_estimator(el.ZGR(), **options)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: chosen_claims([3], CLAIMS), "claims: 3 is not a text"),
        (lambda: expectations([VALUE], CLAIMS), "give reasons by claim"),
        (lambda: expectations({VALUE: 3}, CLAIMS), "say why 'is a value' is expected to fail, not 3"),
        (lambda: one_of("on_fail", False, ON_FAIL), "on_fail=False: give 'raise', 'warn' or None."),
        (lambda: one_of("on_fail", "ignore", ON_FAIL), "on_fail='ignore': give 'raise', 'warn' or None."),
        (lambda: require_seed(1.0), "seed=1.0: a seed is an integer"),
        (lambda: require_seed(True), "seed=True: a seed is an integer"),
        (lambda: instances(el.ZGR()), "A list of estimators is asked for: write [ZGR()]."),
        (lambda: instances(el.ZGR), "write [ZGR()]."),
        (lambda: instances("zgr"), "write ['zgr']."),
    ],
)
def test_values_of_another_type_are_refused(asked, message):
    with pytest.raises(el.EstimlabError) as refusal:
        asked()
    assert message in str(refusal.value)


def test_on_fail():
    with pytest.raises(el.EstimlabError, match=r"does not do what it claims\. is a value: decorate the class"):
        el.check_estimator(WRONG, claims=VALUE)
    with pytest.warns(CheckFailedWarning, match="is a value: decorate the class"):
        assert not el.check_estimator(WRONG, claims=VALUE, on_fail="warn").passed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not el.check_estimator(WRONG, claims=VALUE, on_fail=None).passed


def test_an_expected_failure_does_not_count_and_an_unexpected_success_does():
    report = el.check_estimator(WRONG, claims=["runs", VALUE], expected_failed_checks=REASON)
    assert (report.verdict, report.exit_code) == ("holds", 0)
    assert [row.expected for row in report.of("refuted")] == [REASON[VALUE]]
    with pytest.raises(el.EstimlabError, match="holds, though expected to fail"):
        el.check_estimator(el.ZGR(), claims=VALUE, expected_failed_checks=REASON)


def test_the_callback_hears_every_claim_in_turn():
    heard = []
    report = el.check_estimator(el.ZGR, claims=["runs", VALUE], callback=lambda *pair: heard.append(pair))
    assert heard == [(el.ZGR(), row) for row in report.rows]


def test_expectations_on_the_command_line():
    cost = "declared cost = counted cost"
    assert expected_of([f"{cost}=a layer is skipped", f"{VALUE}=a=b"], CLAIMS) == {
        cost: "a layer is skipped",
        VALUE: "a=b",
    }
    with pytest.raises(el.EstimlabError, match=r"write CLAIM=REASON\. Did you mean 'is a value'"):
        expected_of(["is a valu"], CLAIMS)


@pytest.mark.parametrize("expected", [REASON, lambda one: REASON])
def test_items_expected_to_fail_are_strict_xfails(expected):
    decorator = el.parametrize_with_checks([WRONG], claims=[DEGREE, VALUE], expected_failed_checks=expected)
    items = decorator.mark.args[1]
    marks = {item.values[1].check.claim: [(m.name, m.kwargs) for m in item.marks] for item in items}
    assert marks == {DEGREE: [], VALUE: [("xfail", {"reason": REASON[VALUE], "strict": True})]}


def function(a):
    return (a > 0).to(a)


class Loose:
    def derivative(self, a, bit, uniform, law):
        return a


@dataclass(frozen=True)
class Needy(Density):
    width: float = None

    def __init__(self, width):
        pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("zrg", "There is no estimator 'zrg'. Did you mean 'zgr'"),
        (function, "function is a function: wrap it as an estimator by el.SampledFunction(function, 'logit')"),
        (nn.Sigmoid(), "Sigmoid is a function: wrap it"),
        (nn.Sigmoid, "Sigmoid is a class, but not one of estimators: derive it from el.HardForward"),
        (Loose(), "Loose looks like an estimator and is not derived from one"),
        (Loose, "Loose is a class, but not one of estimators"),
        (Needy, "Needy(): give width"),
        (el.HardForward, "HardForward is abstract: derive a class from it that defines derivative()"),
        (el.BinaryActivation(el.ZGR()), "BinaryActivation holds an estimator and is none: give ZGR()."),
        ([el.ZGR(), el.ARM], "2 estimators are given: check one at a time"),
        (torch.zeros(2), "is not an estimator: give one, as el.ZGR()"),
        (None, "None is not an estimator"),
    ],
)
def test_what_is_no_estimator_is_refused_with_what_to_write(given, message):
    with pytest.raises(el.EstimlabError) as refusal:
        instance(given)
    assert message in str(refusal.value)


@pytest.mark.parametrize("name", ["ZGR", "zgr"])
def test_an_estimator_may_be_named(name):
    assert el.check_estimator(name, claims=VALUE).estimator == el.ZGR()


def test_every_remedy_belongs_to_a_claim():
    assert set(BY_CLAIM) <= set(CLAIMS)
    assert set(FAULT_CLAIMS) == {check.claim for check in CHECKS if check.fault}
    assert all(set(check.needs) <= set(FAULT_CLAIMS) for check in CHECKS)


def test_a_cause_says_more_than_a_claim():
    row = Row("exact within one layer, degree 1", "refuted", "off", cause="coding")
    assert with_remedy(row).remedy == BY_CAUSE["coding"]
    assert with_remedy(Row("runs", "refuted", "x", remedy="mine")).remedy == "mine"
    assert with_remedy(Row("finite", "holds")).remedy == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [("NaN", "law.score"), ("torch's generator", "noise.uniform"), ("averages inside", "(batch,)")],
)
def test_a_fault_is_reported_with_its_remedy_and_hides_no_more_than_it_must(name, words):
    estimator, claim, _ = FAULTS[name]
    report = el.check_estimator(estimator, on_fail=None)
    first = report.of("refuted")[0]
    assert first.claim == claim
    assert words in first.remedy
    verdicts = {row.claim: row for row in report.rows}
    assert list(verdicts) == list(CLAIMS)
    assert verdicts[VALUE].verdict == "holds"
    assert verdicts["declared cost = counted cost"].verdict == "holds"
    behind = verdicts["noise is declared as it is used"]
    assert behind.verdict == "undecided"
    assert behind.detail == f"not judged: {claim!r} is refuted"
