"""Claims are a value that depends on fields; a class body that gives them is refused; counters are unseen."""

import math
import pickle
from dataclasses import dataclass, fields
from typing import ClassVar

import pytest
from networks import normal
from torch import nn

import estimlab as el
from estimlab.errors import EstimlabError
from estimlab.estimators import catalogue
from estimlab.measurement.counting import count_passes


@pytest.mark.parametrize("name", [field.name for field in fields(el.Claims)])
def test_a_claim_in_the_body_of_a_class_is_refused_with_what_to_write(name):
    value = getattr(el.Claims(), name)
    with pytest.raises(EstimlabError, match=rf"class Own: {name} .*return el\.Claims\({name}={value!r}\)"):
        type("Own", (el.ZGR,), {name: value})


def test_all_claims_of_a_body_are_named_together():
    with pytest.raises(EstimlabError, match=r"el\.Claims\(exact_degree=math\.inf, draws_states=\.\.\.\)"):

        class Own(el.HardForward):
            exact_degree: ClassVar[float] = math.inf
            draws_states: bool


@dataclass(frozen=True)
class Blended(el.HardForward):
    """ZGR at 1, else straight-through."""

    share: float = 1.0

    def claims(self):
        return el.Claims(exact_degree=2 if self.share == 1 else 1)

    def derivative(self, a, bit, uniform, law):
        return self.share * el.ZGR().derivative(a, bit, uniform, law) + (1 - self.share) * law.density(a)


def test_claims_depend_on_fields():
    assert Blended().claims() != Blended(0.5).claims() == el.Claims()
    assert el.Average(Blended()).claims() == Blended().claims()
    verdicts = {
        share: el.check_estimator(Blended(share), claims="exact within one layer, degree 2").rows[0].verdict
        for share in (0.5, 1.0)
    }
    assert verdicts == {0.5: "not claimed", 1.0: "holds"}


@pytest.mark.parametrize("cls", catalogue(), ids=lambda cls: cls.name)
def test_claims_are_a_value_of_the_fields_alone(cls):
    estimator = cls()
    assert estimator.claims() == pickle.loads(pickle.dumps(estimator)).claims()
    assert vars(estimator).keys() == {field.name for field in fields(estimator)}


def test_an_estimator_whose_passes_are_counted_sees_the_network_as_it_is():
    seen = []

    @dataclass(frozen=True)
    class Looking(el.ZGR):
        def surrogate(self, problem, noise):
            seen.append((type(problem.network), list(problem.network.parameters())))
            return super().surrogate(problem, noise)

    network = el.Chain([nn.Linear(2, 2)], nn.Linear(2, 1)).double()
    problem = el.Problem(network, el.Quadratic(), normal(0, 3, 2))
    assert count_passes(problem, Looking()) == Looking().cost(1)
    ((kind, parameters),) = seen
    assert kind is el.Chain
    assert all(one is other for one, other in zip(parameters, network.parameters(), strict=True))
    assert "preactivation" not in vars(network)
