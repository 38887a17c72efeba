"""Fields out of range, or of another type, are refused with what was given and what is allowed."""

import math

import pytest

import estimlab as el
from estimlab.errors import EstimlabError

REFUSED = {
    "pairs of DisARM": (lambda: el.DisARM(pairs=0), r"DisARM\(pairs=0\).*>= 1"),
    "one sample of ARMS": (lambda: el.ARMS(samples=1), r"ARMS\(samples=1\).*from 2 to 16"),
    "many samples of ARMS": (lambda: el.ARMS(samples=17), "from 2 to 16"),
    "one sample left out": (lambda: el.ReinforceLOO(1), r"ReinforceLOO\(samples=1\).*>= 2"),
    "draws": (lambda: el.Average(el.ZGR(), 0), r"Average\(draws=0\).*>= 1"),
    "temperature": (lambda: el.REBAR(0.0), r"REBAR\(temperature=0\.0\).*positive"),
    "eta": (lambda: el.RELAX(eta=math.inf), r"RELAX\(eta=inf\).*finite"),
    "hidden": (lambda: el.RELAX(hidden=((1.0, math.nan, 0.0),)), r"triples.*finite|hidden\[0\]\[1\] must be a number"),
}
TYPED = {
    "tails": (lambda: el.LocalExpectation("shared"), "'independent'.*'common'"),
    "pairs": (lambda: el.DisARM(pairs=1.5), "pairs"),
    "samples of ARMS": (lambda: el.ARMS(samples=math.inf), "samples"),
    "samples of leave-one-out": (lambda: el.ReinforceLOO(2.5), "samples"),
    "estimator": (lambda: el.Average("zgr"), "estimator"),
    "coupling": (lambda: el.REBAR(coupling="tied"), "'independent'.*'common'"),
    "hidden": (lambda: el.RELAX(hidden=((1.0, 2.0),)), "hidden"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_fields_out_of_range_are_refused(case):
    build, message = REFUSED[case]
    with pytest.raises(EstimlabError, match=message):
        build()


@pytest.mark.parametrize("case", TYPED)
def test_fields_of_another_type_are_refused(case):
    """Under the test run the annotation is executed too, and may be the first to object."""
    build, message = TYPED[case]
    with pytest.raises((EstimlabError, TypeError), match=message):
        build()
