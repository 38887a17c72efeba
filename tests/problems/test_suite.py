"""The frozen suite: what it holds is what was published, and is the truth."""

import dataclasses
import io
import json
import shutil
import zipfile

import numpy as np
import pytest
import torch

import estimlab as el
from estimlab.arrays import content_hash, write_arrays
from estimlab.errors import EstimlabError
from estimlab.problems.freezing import recipes_v1, v1
from estimlab.problems.suite import Suite, published

# v1 is never changed: papers cite these hashes. An improved problem belongs to v2.
V1 = {
    "toy-init/v1": "89c28dcfb557b584",
    "toy-early/v1": "aa205b33874ae036",
    "toy-late/v1": "d52c6a8e0f68660e",
    "digits-init/v1": "6b0a55af37e22cc6",
    "digits-early/v1": "265214d950c42f1e",
    "digits-late/v1": "275acae87a1d2ca1",
    "gaussian-late/v1": "e6176fa5793ab7b0",
    "uniform-late/v1": "4bca74e8d2a6d2e0",
    "deep-late/v1": "bc541ed083e2c380",
    "conv-late/v1": "ab2665ad7c4afd4b",
    "polynomial/v1": "5c05047e2f1916c8",
    "multilinear/v1": "0920a0a6d639e01a",
    "quadratic/v1": "4c47403138d88ae6",
}
NAMES = sorted(V1)
FOLDER = published()[0].folder


def scaled_error(found, expected):
    return float(((found - expected).abs() / expected.abs().clamp(min=1)).max())


@pytest.fixture
def copied(tmp_path):
    """A copy of v1 that a test may damage."""
    return Suite(shutil.copytree(FOLDER, tmp_path / "v1"))


def damage(suite, file, change):
    """Rewrite one npz file after a change of its arrays: a whole zip file, with other content."""
    path = suite.folder / file
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    write_arrays(path, arrays)


def test_names_and_hashes_are_frozen():
    assert {name: el.problems.describe(name).sha256[:16] for name in el.problems.names()} == V1


def test_no_file_is_missing_or_superfluous():
    assert {path.name for path in FOLDER.iterdir()} == {f"{n.split('/')[0]}.npz" for n in V1} | {"manifest.json"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000


@pytest.mark.parametrize("name", NAMES)
def test_stored_truth_is_a_fresh_enumeration(name):
    problem, stored = el.problems.load(name), el.problems.truth(name)
    fresh = el.LayerwiseEnumeration().gradient(problem)
    assert list(stored.value) == [block for block, _ in problem.network.named_parameters()]
    assert abs(stored.objective - fresh.objective) <= 1e-12
    assert scaled_error(stored.expected, fresh.expected) <= 1e-12
    for block, value in fresh.value.items():
        assert scaled_error(stored.value[block], value) <= 1e-12
    assert stored.exact
    assert stored.reference.startswith("LayerwiseEnumeration(")


@pytest.mark.parametrize("name", NAMES)
def test_description_is_that_of_the_problem(name):
    problem, described = el.problems.load(name), el.problems.describe(name)
    units = problem.network.units[0]
    assert described.name == name
    assert described.name.endswith(f"/{described.version}")
    assert described.widths == tuple(site.size for site in problem.sites)
    assert (described.law, described.coding) == (repr(units.law), (units.low, units.high))
    assert (described.objective, described.examples) == (repr(problem.objective), problem.batch)
    assert described.expected_objective == el.problems.truth(name).objective
    assert f"objective {described.expected_objective:.6f}" in described.summary
    assert all(p.dtype == torch.float64 and p.requires_grad for p in problem.network.parameters())


@pytest.mark.parametrize("name", ["digits-init/v1", "digits-late/v1", "deep-late/v1"])
def test_truth_of_many_units_is_the_derivative_through_transition_matrices(name):
    """Too many units for paths: the marginals of all layers by dense matrices, and automatic differentiation."""
    problem, stored = el.problems.load(name), el.problems.truth(name)
    marginal, states = None, problem.inputs
    for stage, units in zip(problem.network.stages, problem.network.units, strict=True):
        a = stage(states)
        bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=a.dtype)] * a.shape[1])
        transition = torch.exp(units.law.log_cdf(a) @ bits.T + units.law.log_cdf(-a) @ (1 - bits).T)
        marginal = transition if marginal is None else marginal @ transition
        states = units.state(bits)
    output = problem.network.head(states)
    values = torch.stack([problem.objective(output, t.expand(len(output))) for t in problem.targets])
    expected = (marginal * values).sum(1)
    grads = torch.autograd.grad(expected.mean(), list(problem.network.parameters()))
    assert scaled_error(stored.expected, expected.detach()) <= 1e-12
    for value, grad in zip(stored.value.values(), grads, strict=True):
        assert scaled_error(value, grad) <= 1e-12


def test_few_units_are_confirmed_by_paths():
    entries = published()[0].manifest["problems"].values()
    for entry in entries:
        assert entry["truth"]["confirmed_by_paths"] == (sum(entry["widths"]) <= 16)
        assert entry["truth"]["checks"].get("difference_from_paths", 0) < 1e-12
    assert sum(entry["truth"]["confirmed_by_paths"] for entry in entries) >= 8


@pytest.mark.parametrize("name", ["polynomial/v1", "quadratic/v1", "multilinear/v1"])
def test_stored_truth_is_a_fresh_enumeration_of_paths(name):
    fresh = el.PathEnumeration().gradient(el.problems.load(name))
    for block, value in el.problems.truth(name).value.items():
        assert scaled_error(value, fresh.value[block]) <= 1e-12


@pytest.mark.parametrize("family", ["toy", "digits"])
def test_training_lowers_the_objective(family):
    init, early, late = (el.problems.truth(f"{family}-{stage}/v1").objective for stage in ("init", "early", "late"))
    assert late < early < init


def test_digits_are_four_of_each_class_scaled():
    problem = el.problems.load("digits-late/v1")
    assert problem.targets.bincount().tolist() == [4] * 10
    assert (float(problem.inputs.min()), float(problem.inputs.max())) == (-1, 1)
    source = published()[0].manifest["problems"]["digits-late"]["source"]
    assert "CC BY 4.0" in source["license"]


def test_toy_points_lie_where_the_recipe_says():
    problem = el.problems.load("toy-init/v1")
    x, y = problem.inputs.T
    above = problem.targets == 1
    assert above.sum() == 100
    assert bool((x.abs() <= np.pi / 2).all())
    assert bool((y[above] >= 0).all())
    assert bool((y[~above] < torch.cos(x[~above])).all())


def test_problems_are_fresh_and_leave_random_state_alone():
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the state under test
    first, second = el.problems.load("toy-late/v1"), el.problems.load("toy-late/v1")
    with torch.no_grad():
        first.network.head.bias.add_(1)
    assert not torch.equal(first.network.head.bias, second.network.head.bias)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()  # noqa: NPY002


@pytest.mark.parametrize("name", ["conv-late/v1", "digits-init/v1"])
def test_a_changed_byte_is_detected(copied, name):
    path = copied.folder / f"{name.split('/')[0]}.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(EstimlabError, match=path.name) as caught:
        copied.load(name)
    assert copied.describe(name).sha256 in str(caught.value)


@pytest.mark.parametrize("array", ["stages.1.weight", "inputs", "targets", "truth.gradient.head.weight"])
def test_a_changed_number_is_detected(copied, array):
    def flip_last_bit(arrays):
        arrays[array].view(np.int64).reshape(-1)[-1] ^= 1

    damage(copied, "toy-late.npz", flip_last_bit)
    with pytest.raises(EstimlabError, match=r"toy-late\.npz") as caught:
        copied.truth("toy-late/v1")
    with np.load(copied.folder / "toy-late.npz") as archive:
        found = content_hash(copied.manifest["problems"]["toy-late"]["content"], dict(archive))
    assert found in str(caught.value)
    assert copied.describe("toy-late/v1").sha256 in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("low", -1.0), ("law", {"name": "Gaussian", "scale": 1.0})])
def test_a_changed_architecture_is_detected(copied, field, value):
    copied.manifest["problems"]["toy-late"]["content"][field] = value
    with pytest.raises(EstimlabError, match="expected is"):
        copied.load("toy-late/v1")


def test_names_dtypes_and_shapes_count():
    array = np.arange(4.0)
    variants = [{"a": array}, {"b": array}, {"a": array.reshape(2, 2)}, {"a": array.view(np.int64)}]
    assert len({content_hash({}, arrays) for arrays in variants}) == 4
    assert content_hash({}, {"a": array, "b": array[:1]}) == content_hash({}, {"b": array[:1], "a": array})
    assert content_hash({}, {"a": array.reshape(2, 2)}) == content_hash(
        {}, {"a": np.asfortranarray(array.reshape(2, 2))}
    )
    assert content_hash({}, {"a": array.astype(">f8")}) == content_hash({}, {"a": array})


def test_another_compression_is_the_same_problem(copied):
    path = copied.folder / "toy-late.npz"
    with np.load(path) as archive:
        np.savez(path, **dict(archive))
    assert copied.truth("toy-late/v1").objective == el.problems.truth("toy-late/v1").objective


def test_nothing_is_unpickled(copied):
    path, buffer = copied.folder / "quadratic.npz", io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inputs.npy", buffer.getvalue())
    with pytest.raises(EstimlabError, match="pickle"):
        copied.load("quadratic/v1")


def test_missing_and_broken_files_are_named(copied):
    (copied.folder / "toy-init.npz").unlink()
    (copied.folder / "toy-late.npz").write_bytes(b"")
    for name in ("toy-init", "toy-late"):
        with pytest.raises(EstimlabError, match=f"{name}.npz"):
            copied.load(f"{name}/v1")
    (copied.folder / "manifest.json").write_text("{")
    with pytest.raises(EstimlabError, match=r"manifest\.json"):
        Suite(copied.folder).load("toy-early/v1")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("toy-lat/v1", "Did you mean 'toy-late/v1'"),
        ("toy-late", "includes its version: 'toy-late/v1'"),
        ("", "available"),
    ],
)
@pytest.mark.parametrize("function", [el.problems.load, el.problems.truth, el.problems.describe, el.problems.cite])
def test_unknown_names_list_what_there_is(function, name, hint):
    with pytest.raises(EstimlabError, match="quadratic/v1") as caught:
        function(name)
    assert hint in str(caught.value)


def test_cite_gives_name_version_and_hash():
    name = "toy-late/v1"
    assert name in el.problems.cite(name)
    assert V1[name][:12] in el.problems.cite(name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        el.problems.describe(name).version = "v2"


@pytest.mark.slow
def test_a_problem_is_built_again():
    """To 1e-9, not to the byte: other machines and libraries round differently."""
    entry, arrays = v1.build("toy-early")
    with np.load(FOLDER / "toy-early.npz") as stored:
        assert set(arrays) == set(stored.files)
        for name, array in arrays.items():
            np.testing.assert_allclose(array, stored[name], rtol=0, atol=1e-9, err_msg=name)
    assert entry["content"] == published()[0].manifest["problems"]["toy-early"]["content"]


def test_recipes_are_those_of_the_manifest():
    for name, entry in published()[0].manifest["problems"].items():
        content = v1.content_of(name, recipes_v1.RECIPES[name])
        assert json.loads(json.dumps(content)) == entry["content"]


def test_files_are_byte_deterministic(tmp_path):
    with np.load(FOLDER / "toy-late.npz") as archive:
        for name in ("a.npz", "b.npz"):
            write_arrays(tmp_path / name, dict(archive))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_published_suite_is_not_overwritten(copied):
    with pytest.raises(EstimlabError, match="never changed"):
        v1.build_suite(copied.folder)
