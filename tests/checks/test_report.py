"""How a report reads, and what it carries for machines."""

import json
import math

import pytest

import estimlab as el
from estimlab.checks.report import CheckReport, Row

PROGRAM = "import estimlab as el\nprint(1)"
HOLDING = tuple(Row(f"claim {number}", "holds", "shown") for number in range(17))
REFUTED = Row(
    "exact",
    "refuted",
    "the mean is 2.0000 x the true gradient; smallest: one unit, el.Logistic(), states 0 and 1",
    z=math.nan,
    effect=1.0,
    snippet=PROGRAM,
    cause="law",
    remedy="take the density from the law that is given",
)
OTHER = Row("second", "refuted", "wrong too", snippet="print(2)")


def report(*rows, seed=0):
    return CheckReport(el.StraightThrough(), (*HOLDING, *rows), seed)


def test_the_verdict_is_first_and_last_and_passing_claims_are_folded():
    lines = str(report(REFUTED, Row("spare", "not claimed"))).split("\n")
    assert lines[0] == lines[-1]
    assert lines[0].startswith("refuted: 1 of 18 claims of StraightThrough(")
    assert "17 claims hold, 1 is not claimed (to unfold: --verbose, or report.full())" in lines
    assert not any("claim 3" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_a_refutation_shows_its_detail_its_cause_its_remedy_and_its_program():
    text = str(report(REFUTED))
    joined = " ".join(text.split())
    for part in ("refuted exact", REFUTED.detail, "cause: law", f"remedy: {REFUTED.remedy}"):
        assert part in joined
    assert f"# exact: refuted. This shows it:\n{PROGRAM}\n" in text


def test_verbose_unfolds_claims_and_programs():
    short, full = str(report(REFUTED, OTHER)), report(REFUTED, OTHER).full()
    assert "print(2)" not in short
    assert "1 more program" in short
    assert "print(2)" in full
    assert "more program" not in full
    assert all(f"claim {number}\n" in full for number in range(17))


@pytest.mark.parametrize(
    ("rows", "verdict", "code"),
    [
        ((), "holds", 0),
        ((Row("spare", "not claimed"),), "holds", 0),
        ((REFUTED,), "refuted", 1),
        ((Row("far", "undecided"),), "undecided", 2),
        ((Row("far", "undecided"), REFUTED), "refuted", 1),
        ((Row("exact", "refuted", expected="not served"),), "holds", 0),
        ((Row("exact", "holds", expected="not served"),), "refuted", 1),
        ((Row("exact", "not claimed", expected="not served"),), "refuted", 1),
        ((Row("exact", "undecided", expected="not served"),), "undecided", 2),
    ],
)
def test_verdict_and_exit_code(rows, verdict, code):
    found = report(*rows)
    assert (found.verdict, found.exit_code, found.passed) == (verdict, code, code != 1)
    assert str(found).startswith(f"{verdict}: ")


def test_what_was_expected_to_fail_says_why():
    as_expected = str(report(Row("exact", "refuted", "off", expected="not served")))
    assert "expected to fail: not served" in as_expected
    assert "1 fail as expected" in as_expected.split("\n")[0]
    stale = str(report(Row("exact", "holds", "to 1e-10", expected="not served")))
    assert "unexpected  exact" in stale
    assert "holds, though expected to fail: not served" in stale


def test_repr_is_a_matrix_of_verdicts():
    found = report(REFUTED, OTHER, Row("spare", "not claimed"))
    head, columns, _, *rows = repr(found).splitlines()
    assert head == str(found).splitlines()[0]
    assert columns.split() == ["number", "claims"]
    assert [" ".join(row.split()) for row in rows] == [
        "holds 17 claim 0; claim 1; and 15 more",
        "refuted 2 exact; second",
        "not claimed 1 spare",
    ]
    long = "a claim whose name is longer than what pandas shows of a text"
    assert long in repr(report(Row(long, "refuted")))
    assert "<th>refuted</th>" in found._repr_html_()


def test_html_is_escaped_and_coloured():
    html = report(Row("a < b", "refuted", "x & y", snippet="print(1 < 2)"))._repr_html_()
    assert "a &lt; b" in html
    assert "x &amp; y" in html
    assert "color:red" in html
    assert "<details><summary>all claims</summary>" in html


KINDS = {"claim": str, "verdict": str, "detail": str, "snippet": str, "cause": str, "remedy": str, "expected": str}


def test_the_schema_of_json():
    written = json.loads(json.dumps(report(REFUTED, seed=3).as_dict(), allow_nan=False))
    assert set(written) == {"estimator", "seed", "passed", "verdict", "exit_code", "claims"}
    assert (written["estimator"], written["seed"], written["exit_code"]) == (repr(el.StraightThrough()), 3, 1)
    for claim in written["claims"]:
        assert set(claim) == {*KINDS, "z", "effect"}
        assert all(isinstance(claim[name], kind) for name, kind in KINDS.items())
        assert all(claim[name] is None or isinstance(claim[name], float) for name in ("z", "effect"))
    last = written["claims"][-1]
    assert (last["cause"], last["remedy"], last["snippet"]) == ("law", REFUTED.remedy, PROGRAM)
    assert (last["z"], last["effect"]) == (None, 1.0)  # a NaN is no JSON
