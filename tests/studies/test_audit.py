"""The audit's verdicts: what it says of code whose faults are known, and its snippets, run where a package is there."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import estimlab as el
from estimlab.cells.auditing.claim import installed, verdict
from estimlab.cells.auditing.kinds import BackwardFormula, MeanGradient, Number
from estimlab.results.study import load_study
from estimlab.results.table import read_table

ROOT = Path(__file__).parents[2]
TABLE = read_table(ROOT / "studies/tables/audit.csv")
CLAIMS = {(c.package, c.function, c.claim): c for c in load_study(ROOT / "studies/audit.py").study.cells}
SLOW = {"DisARM", "ScoreFunction(moving_average)"}  # thousands of calls
REFUTED = [row for _, row in TABLE[TABLE["verdict"].isin(["refuted", "another scale"])].iterrows()]


def claim_of(row):
    return CLAIMS[row["package"], row["function"], row["claim"]]


def test_the_table_has_every_claim_and_covers_every_package():
    assert len(TABLE) == len(CLAIMS)
    assert not (TABLE["verdict"] == "not covered").any()
    assert (TABLE["version"] != "").all()


def test_the_controls_are_judged_right():
    controls = TABLE[TABLE["kind"] == "control"]
    assert len(controls) == 4
    for _, row in controls.iterrows():
        assert row["verdict"] == ("refuted" if row["function"].startswith("wrong") else "holds")


def test_correct_public_code_is_not_accused():
    for package in ("torch", "reinmax", "pyro-ppl", "pydrobert-pytorch", "spikingjelly"):
        rows = TABLE[(TABLE["package"] == package) & (TABLE["kind"] != "control")]
        assert len(rows) > 1
        assert (rows["verdict"] == "holds").all(), package


def test_norses_stochastic_functions_are_off_by_the_known_factors():
    ratios = TABLE[TABLE["package"] == "norse"].set_index("function")["ratio"]
    assert ratios["logistic_fn(x, 100)"] == pytest.approx(2 / 100)
    assert ratios["circ_dist_fn(x, 100)"] == pytest.approx(2 * 100)


@pytest.mark.filterwarnings("ignore")  # of the packages
@pytest.mark.parametrize("row", REFUTED, ids=[f"{row['package']}-{row['function']}" for row in REFUTED])
def test_a_snippet_reproduces_what_it_refutes(row, capsys):
    if not installed(row["package"]):
        pytest.skip(f"{row['package']} is not installed")
    if re.split(r"\(\"", row["function"])[0] in SLOW:
        pytest.skip("takes minutes: thousands of calls, one at a time")
    assert claim_of(row).snippet() == row["snippet"]
    namespace = {}
    with torch.random.fork_rng():
        if math.isnan(row["ratio"]):
            with pytest.raises(Exception, match=re.escape(row["note"].partition(": ")[2][:40])):
                exec(row["snippet"], namespace)
            return
        exec(row["snippet"], namespace)
    tolerance = 6 * math.hypot(namespace["stderr"], row["stderr"]) + 1e-6
    assert namespace["ratio"] == pytest.approx(row["ratio"], abs=tolerance)
    assert abs(namespace["ratio"] - 1) > 4.4 * namespace["stderr"]


@pytest.mark.parametrize(
    "row", [row for _, row in TABLE[TABLE["package"] == "torch"].iterrows()], ids=lambda r: r["claim"]
)
def test_the_claims_about_torch_are_judged_again_as_in_the_table(row):
    found = claim_of(row).run()[0]
    assert found["verdict"] == row["verdict"]
    assert found["ratio"] == pytest.approx(row["ratio"], rel=0.01)


def test_a_constant_factor_is_another_scale_and_a_sign_or_a_shape_is_not():
    square = "class S(torch.autograd.Function):\n    forward = staticmethod(lambda ctx, a: (a > 0).to(a))\n"
    square += "    backward = staticmethod(lambda ctx, g: g)\ncall = S.apply"
    formulas = {"0.02 * torch.ones_like(U)": "another scale", "-torch.ones_like(U)": "refuted", "1 + U": "refuted"}
    for formula, answer in formulas.items():
        found = BackwardFormula(**HEAD, code=square, formula=formula).run()[0]
        assert found["verdict"] == answer
        assert "torch.autograd.grad" in found["snippet"]


def test_a_package_that_cannot_be_imported_is_not_accused():
    found = BackwardFormula(**HEAD, code="import no_such_module", formula="U").run()[0]
    assert found["verdict"] == "not covered"
    assert "no_such_module" in found["note"]


def test_an_error_of_our_own_is_no_fault_of_theirs():
    code = "call = lambda a: torch.sigmoid(a + torch.randn_like(a))"
    with pytest.raises(el.EstimlabError, match="draws=3"):
        MeanGradient(**HEAD, code=code, adapter="relaxed", draws=3).run()


def test_a_package_that_is_not_there_is_not_covered():
    claim = replace(next(iter(CLAIMS.values())), package="no-such-package")
    assert claim.run()[0]["verdict"] == "not covered"


@pytest.mark.parametrize(
    ("effect", "stderr", "expected"),
    [(0, 0, "holds"), (0.2, 0, "refuted"), (0.2, 0.01, "refuted"), (0.001, 0.0001, "holds"), (0.03, 0.03, "undecided")],
)
def test_verdicts(effect, stderr, expected):
    assert verdict(effect, stderr)[0] == expected


HEAD = {"package": "torch", "function": "f", "claim": "c", "source": "s"}


def test_each_kind_of_claim_finds_a_wrong_one():
    step = "class S(torch.autograd.Function):\n    forward = staticmethod(lambda ctx, a: (a > 0).to(a))\n"
    step += "    backward = staticmethod(lambda ctx, g: g)\ncall = S.apply"
    assert BackwardFormula(**HEAD, code=step, formula="torch.ones_like(U)").run()[0]["verdict"] == "holds"
    assert BackwardFormula(**HEAD, code=step, formula="1 + U").run()[0]["verdict"] == "refuted"
    assert MeanGradient(**HEAD, code=step, adapter="spike").run()[0]["ratio"] == pytest.approx(1 / 0.2217, rel=1e-3)
    coin = "call = lambda n: torch.rand(n)"
    for expected, answer in ((0.5, "holds"), (0.6, "refuted")):
        number = Number(**HEAD, code=coin, measured="call(10000).mean()", expected=expected, errors="0.0029")
        assert number.run()[0]["verdict"] == answer
