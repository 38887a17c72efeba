"""Measurements and gradients on disk: all of them comes back, and nothing else is read."""

import io
import zipfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

import estimlab as el
from estimlab.arrays import load, save
from estimlab.measurement.saved import rebuilt

PROBLEM = el.problems.load("quadratic/v1")


@dataclass(frozen=True)
class Mine(el.HardForward):
    """Straight-through with the noise's density at a larger scale."""

    width: float = 2.0

    def derivative(self, a, bit, uniform, law):
        return law.density(a / self.width)


@pytest.fixture(scope="module")
def truth():
    return el.MonteCarloReference(draws=512).gradient(PROBLEM)


@pytest.fixture(scope="module")
def sampled(truth):
    return el.measure(PROBLEM, el.IWST(), truth, draws=512, seed=3)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_sampled_measurement_comes_back_whole(sampled, tmp_path):
    path = sampled.save(tmp_path / "sampled.npz")
    loaded = el.Measurement.load(path)
    for by in ("layer", "block", "network"):
        pd.testing.assert_frame_equal(loaded.table(by), sampled.table(by), check_exact=True)
    assert repr(loaded) == repr(sampled)
    for name in ("mean", "variance", "reference", "reference_stderr"):
        assert same(getattr(loaded, name), getattr(sampled, name))
    assert same(loaded.replicates("cosine"), sampled.replicates("cosine"))
    for name in ("estimator", "method", "layers", "cost", "draws", "checks"):
        assert getattr(loaded, name) == getattr(sampled, name)
    assert any((error > 0).any() for error in loaded.reference_stderr.values())


@pytest.mark.parametrize("how", [el.exact_moments, el.quadrature_moments])
def test_moments_without_sampling_come_back(how, tmp_path):
    toy = el.Problem(el.Chain([el.Logits(2)]), el.Quadratic())
    found = how(toy, el.ZGR())
    loaded = el.Measurement.load(found.save(tmp_path / "exact.npz"))
    pd.testing.assert_frame_equal(loaded.table(), found.table(), check_exact=True)
    assert (loaded.draws, loaded.groups, loaded.checks) == (float("inf"), None, found.checks)


def test_a_gradient_comes_back_with_the_fingerprint_of_its_problem(truth, tmp_path):
    loaded = el.Gradient.load(truth.save(tmp_path / "truth.npz"))
    assert same(loaded.value, truth.value)
    assert same(loaded.stderr, truth.stderr)
    assert torch.equal(loaded.expected, truth.expected)
    assert (loaded.objective, loaded.reference, loaded.checks) == (truth.objective, truth.reference, truth.checks)
    assert loaded.fingerprint == truth.fingerprint
    el.exact_moments(PROBLEM, el.ZGR(), loaded)
    with pytest.raises(el.EstimlabError, match="belongs to another problem"):
        el.exact_moments(el.Problem(PROBLEM.network, el.Quadratic(linear=(1.0,) * 8), PROBLEM.inputs), el.ZGR(), loaded)


def test_a_gradient_made_by_hand_has_no_fingerprint(truth, tmp_path):
    blocks = dict(truth.value)
    by_hand = el.Gradient(float("inf"), blocks, blocks, truth.expected, "by hand", {"error": float("nan")})
    loaded = el.Gradient.load(by_hand.save(tmp_path / "hand.npz"))
    assert (loaded.fingerprint, loaded.objective) == (None, float("inf"))
    assert np.isnan(loaded.checks["error"])


def test_equal_results_give_equal_bytes(sampled, tmp_path):
    one, other = (sampled.save(tmp_path / name).read_bytes() for name in ("one.npz", "other.npz"))
    assert one == other


def test_an_own_estimator_is_given_again(tmp_path):
    path = el.exact_moments(PROBLEM, Mine(3.0)).save(tmp_path / "mine.npz")
    assert el.Measurement.load(path, Mine(3.0)).estimator == Mine(3.0)
    with pytest.raises(el.EstimlabError, match=r"Mine\(width=3.0\) is not of the catalogue: give it, as estimator="):
        el.Measurement.load(path)
    with pytest.raises(el.EstimlabError, match=r"Mine\(width=3.0\) was measured, not Mine\(width=2.0\)"):
        el.Measurement.load(path, Mine())


@pytest.mark.parametrize("estimator", [cls() for cls in el.estimators.catalogue() if cls.name != "average"])
def test_estimators_of_the_catalogue_are_rebuilt_from_their_text(estimator):
    assert rebuilt(repr(estimator)) == estimator


def test_nothing_else_of_a_text_is_executed():
    averaged = el.Average(el.GumbelSoftmax(temperature=0.5), draws=3)
    assert rebuilt(repr(averaged)) == averaged
    for text in ("print(1)", "ZGR", "ZGR().name", "1", "__import__('os')", "Mine(width=2.0)", "ZGR("):
        with pytest.raises(el.EstimlabError):
            rebuilt(text)


def array():
    """The bytes of an npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ones(3))
    return buffer.getvalue()


def damaged(path):
    """One bit of one array is another."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.startswith("mean/"))
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_wrong_files_are_refused(sampled, truth, tmp_path):
    path = sampled.save(tmp_path / "sampled.npz")
    cases = {
        "text.npz": (lambda p: p.write_text("hello"), "is no saved Measurement, or it is damaged"),
        "cut.npz": (lambda p: p.write_bytes(path.read_bytes()[:-900]), "is no saved Measurement, or it is damaged"),
        "array.npz": (lambda p: p.write_bytes(array()), "is no saved Measurement, or it is damaged"),
        "other.npz": (lambda p: np.savez(p, x=np.ones(3)), "is an npz file of something else"),
        "record.npz": (lambda p: np.savez(p, record=np.ones(3)), "is an npz file of something else"),
        "truth.npz": (truth.save, "holds a Gradient, not a Measurement: read it by el.Gradient.load"),
        "bit.npz": (lambda p: (sampled.save(p), damaged(p)), "its content is not what its hash says"),
        "none.npz": (lambda p: None, "there is no file"),
    }
    for name, (make, message) in cases.items():
        make(tmp_path / name)
        with pytest.raises(el.EstimlabError) as refusal:
            el.Measurement.load(tmp_path / name)
        assert message in str(refusal.value), name


def test_other_endings_and_formats_are_refused(sampled, tmp_path, monkeypatch):
    for name in ("found.csv", "found", "found.npy"):
        with pytest.raises(el.EstimlabError, match=r"the file ends in \.npz; write 'found\.npz'"):
            sampled.save(tmp_path / name)
        with pytest.raises(el.EstimlabError, match=r"the file ends in \.npz"):
            el.Gradient.load(tmp_path / name)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("estimlab.arrays.FORMAT", 2)
    path = save(tmp_path / "later.npz", "Gradient", {}, {})
    monkeypatch.undo()
    with pytest.raises(el.EstimlabError, match="has format 2; this version of estimlab reads 1"):
        load(path, "Gradient")
