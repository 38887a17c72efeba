"""The larger recipes at a size that a CPU trains in a second, on files that the tests make."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, kl_divergence
from training_files import put, small_binarized, small_mnist
from training_toys import two_kinds

import estimlab as el
from estimlab.training.configuration import Configuration, Execution
from estimlab.training.counter_noise import row_keys
from estimlab.training.data import published
from estimlab.training.data.files import PublishedFile
from estimlab.training.distributed import World
from estimlab.training.loop import Session, train
from estimlab.training.recipes import find_recipe, named_recipes
from estimlab.training.recipes.cifar10_psa import Cifar10Psa
from estimlab.training.recipes.cifar10_vgg import Cifar10Vgg
from estimlab.training.recipes.fashion import Fashion
from estimlab.training.recipes.mnist_vae import Autoencoder, MnistVae, NegativeBound, bound
from estimlab.training.trainee import evaluation_mode, hard

IMAGE, CPU = torch.Size((3, 32, 32)), torch.device("cpu")
SMALL_VGG = Cifar10Vgg(
    epochs=1, batch_size=8, warmup=0, learning_rate=0.02, channels=(4, 4, 6, 6, 8, 8), hidden=(10, 10)
)
SMALL_PSA = Cifar10Psa(epochs=1, batch_size=8, layers=((4, 3, 1), (4, 3, 2), (6, 3, 2), (6, 1, 1)))


def test_every_file_is_a_recipe_with_a_summary():
    assert set(named_recipes()) == {"digits", "fashion", "mnist_vae", "cifar10_vgg", "cifar10_psa"}
    assert all(cls.summary and cls() == cls() for cls in named_recipes().values())
    with pytest.raises(el.EstimlabError, match="'cifar10_vgg'"):
        find_recipe("cifar10_vg")


def test_the_vgg_has_the_published_shape():
    network = Cifar10Vgg().network(IMAGE)
    sites = [site.shape for site in network.eval().sites(torch.zeros(1, *IMAGE))]
    widths = ((128, 32), (128, 32), (256, 16), (256, 16), (512, 8), (512, 8))
    assert sites == [(c, s, s) for c, s in widths] + [(1024,), (1024,)]
    assert network.stages[6][2].in_features == 512 * 4 * 4


def test_the_all_convolutional_net_has_the_published_shape():
    network = Cifar10Psa().network(IMAGE)
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    sites = [site.shape for site in network.sites(torch.zeros(1, *IMAGE))]
    assert [shape[0] for shape in sites] == [96, 96, 96, 192, 192, 192, 192, 192]
    assert [shape[1] for shape in sites] == [32, 32, 16, 16, 16, 8, 8, 8]
    assert network.head[2].in_features == 768


def test_the_start_from_data_normalises_every_channel():
    torch.manual_seed(0)
    network, inputs = SMALL_PSA.network(IMAGE), torch.rand(32, *IMAGE) * 2 - 1
    SMALL_PSA.start(network, inputs)
    sites, seen = network.sites(inputs[:1]), []
    states = hard(sites, row_keys(0, 0, torch.arange(32)))
    with torch.no_grad():
        network.run(inputs, lambda k, a, carry: seen.append(a) or states(k, a, carry), len(sites))
    for a in seen:
        assert float(a.mean((0, 2, 3)).abs().max()) < 1e-4
        assert float((a.std((0, 2, 3)) - 1).abs().max()) < 1e-3


@pytest.fixture
def images(monkeypatch):
    two_kinds(monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [SMALL_VGG, SMALL_PSA], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("autocast", [False, True])
def test_a_convolutional_net_learns_two_kinds(images, recipe, autocast):
    from dataclasses import replace

    execution = Execution(autocast=autocast, ensemble=2)
    session = train(Configuration(replace(recipe, epochs=6), el.StraightThrough()), execution=execution)
    assert session.record.results[0]["accuracy"] > 0.9
    assert len(session.record.diagnostics) == 6 * len(session.trainee.layers())
    assert {p.dtype for p in session.trainee.parameters()} == {torch.float32}
    if recipe.validation:
        assert 0 <= session.record.metrics[-1]["validation_accuracy"] <= 1


def test_noise_compares_with_float32_also_where_products_are_bfloat16(images):
    session = train(Configuration(SMALL_VGG, el.ZGR()), execution=Execution(autocast=True, diagnose=False))
    inputs, _ = session.examples("train", slice(8))
    seen = []
    with evaluation_mode(session.trainee), session.autocast():
        session.trainee.output(inputs, row_keys(0, 0, torch.arange(8)), lambda k, a, carry: seen.append(a.dtype) or a)
    assert seen == [torch.float32] * 8


def test_arm_on_batch_norm_is_refused(images):
    with pytest.raises(el.EstimlabError, match="couples the examples of a batch, as batch norm does"):
        train(Configuration(SMALL_VGG, el.ARM()))


SMALL_VAE = MnistVae(epochs=2, batch_size=3, hidden=(8,), latents=5, samples=4)


def test_the_autoencoder_trains_and_its_bounds_are_ordered(tmp_path, monkeypatch):
    files, _ = small_binarized(monkeypatch)
    put(tmp_path, files)
    session = train(Configuration(SMALL_VAE, el.ZGR()), execution=Execution(folder=tmp_path))
    one, many = session.record.results
    assert many["nats"] < one["nats"]
    assert math.isfinite(session.record.metrics[-1]["test_bound"])
    assert [row["layer"] for row in session.record.diagnostics[:2]] == ["encoder", "decoder"]
    train(Configuration(SMALL_VAE, el.DisARM()), execution=Execution(folder=tmp_path))


def test_grey_images_are_probabilities(tmp_path, monkeypatch):
    files, arrays = small_mnist(monkeypatch)
    put(tmp_path, files)
    recipe = MnistVae(pixels="grey", epochs=1, batch_size=10, hidden=(4,), latents=3, samples=2)
    session = train(Configuration(recipe, el.StraightThrough()), execution=Execution(folder=tmp_path))
    target = session.examples("train", slice(2))[1]
    assert torch.allclose(target[:, 0], torch.from_numpy(arrays[0][:2]).float() / 255, atol=1e-6)


def test_bounds_agree_with_enumeration_of_all_latents():
    """E q(z|x) of the objective's value, and log p(x), of four latents exactly."""
    units = el.BinaryUnits(el.Gaussian(0.8))
    torch.manual_seed(1)
    network = Autoencoder((6, 4), units).double()
    objective, x = NegativeBound(units, 4), (torch.rand(5, 6, dtype=torch.float64) > 0.5).double()
    problem = el.Problem(network, objective, x, x)
    truth = el.PathEnumeration().gradient(problem)
    states = units.state(((torch.arange(16)[:, None] >> torch.arange(4)) & 1).double())
    with torch.no_grad():
        a = network.encoder(x)
        outputs = [network.output((a, state.expand(5, 4))) for state in states]
        q = torch.stack([units.law.cdf(torch.where(state > 0, a, -a)).prod(1) for state in states])
        weights = torch.stack([objective.log_weight(output, x) for output in outputs])
        log_p = torch.logsumexp(weights + q.log(), 0)
        elbo = (q * weights).sum(0)
    assert float(-elbo.mean()) == pytest.approx(float(truth.objective), abs=1e-10)
    assert bool((elbo < log_p).all())

    class One:
        trainee = type("T", (nn.Module,), {})()
        seed = 0

        def autocast(self):
            return torch.autocast("cpu", enabled=False)

        def batches(self, split):
            yield x, x

    One.trainee.network, One.trainee.objective, One.trainee.sites = network, objective, problem.sites
    value, error = bound(One(), 300)
    assert value == pytest.approx(float(-log_p.mean()), abs=0.05)
    assert error > 0


def test_fashion_trains_on_files_of_its_form(tmp_path, monkeypatch):
    files, _ = small_mnist(monkeypatch, "fashion_mnist")
    put(tmp_path, files)
    recipe = Fashion(epochs=1, batch_size=20, widths=(8, 8))
    session = train(Configuration(recipe, el.Reinforce()), tmp_path / "run", Execution(folder=tmp_path))
    assert session.record.provenance["data"]["verified"]


def test_an_unverified_set_is_written_into_the_provenance(tmp_path, monkeypatch):
    files, _ = small_mnist(monkeypatch, "fashion_mnist")
    put(tmp_path, files)
    wrong = tuple(PublishedFile(f.name, f.folders, "md5:0") for f in published.FASHION_MNIST)
    monkeypatch.setattr(published, "FASHION_MNIST", wrong)
    recipe = Fashion(epochs=1, batch_size=20, widths=(8, 8))
    with pytest.raises(el.EstimlabError, match="expected md5:0"):
        train(Configuration(recipe, el.ZGR()), execution=Execution(folder=tmp_path))
    session = train(Configuration(recipe, el.ZGR()), None, Execution(folder=tmp_path, accept_unverified=True))
    assert not session.record.provenance["data"]["verified"]
    assert session.record.provenance["accept_unverified"]


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(el.EstimlabError, match="does not fit into 30"):
        train(Configuration(find_recipe("digits")(examples=30), el.ZGR()))


@pytest.mark.slow
def test_channels_last_in_bfloat16_learns_as_the_plain_layout_does(images):
    """What a GPU trains: the same states, a loss that falls, no NaN, pre-activations in float32."""
    losses = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        session = Session(Configuration(SMALL_VGG, el.ZGR()), Execution(autocast=True), CPU, World(), None)
        session.trainee.network.to(memory_format=layout)
        inputs, targets = session.examples("train", slice(40))
        inputs, seen = inputs.contiguous(memory_format=layout), []
        optimiser = torch.optim.AdamW(session.trainee.parameters(), lr=0.01)
        for step in range(30):
            rows = row_keys(0, step, torch.arange(40))
            with session.autocast():
                output = session.trainee.output(inputs, rows, lambda k, a, carry, seen=seen: seen.append(a) or a)
                loss = session.trainee.objective(output, targets).float().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.setdefault(layout, []).append(float(loss.detach()))
        assert {a.dtype for a in seen} == {torch.float32}
        assert all(bool(torch.isfinite(a).all()) for a in seen)
        assert all(bool(torch.isfinite(p.grad).all()) for p in session.trainee.parameters())
    plain, last = losses.values()
    assert last[0] == pytest.approx(plain[0], rel=0.05)
    assert sum(last[-5:]) < 0.5 * sum(last[:5])


def test_the_bound_is_what_torchs_distributions_say():
    torch.manual_seed(2)
    units, logits, a = el.BinaryUnits(), torch.randn(7, 9), 3 * torch.randn(7, 5)
    x, bit = (torch.rand(7, 9) > 0.4).float(), (torch.rand(7, 5) > 0.5).float()
    posterior, prior = Bernoulli(logits=a), Bernoulli(torch.tensor(0.5))
    likelihood = Bernoulli(logits=logits).log_prob(x).sum(1)
    objective, output = NegativeBound(units, 5), torch.cat((logits, a, units.state(bit)), 1)
    assert torch.allclose(objective(output, x), kl_divergence(posterior, prior).sum(1) - likelihood, atol=1e-4)
    weight = likelihood + (prior.log_prob(bit) - posterior.log_prob(bit)).sum(1)
    assert torch.allclose(objective.log_weight(output, x), weight, atol=1e-4)
