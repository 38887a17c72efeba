"""Data sets: official formats on small files, verification, downloads from a server of the test's own."""

import functools
import gc
import http.server
import io
import os
import pickle
import sys
import tarfile
import threading

import numpy as np
import pytest
import torch
from training_files import (
    cifar_pickle,
    cifar_records,
    idx,
    pixels,
    put,
    sha256,
    small_binarized,
    small_mnist,
)

from estimlab.errors import EstimlabError
from estimlab.training.counter_noise import row_keys
from estimlab.training.data import NAMES, PublishedFile, data_folder, find_file, load, published
from estimlab.training.data.batches import flip_and_crop, scaled, shuffled
from estimlab.training.data.formats import read_cifar_pickle, read_idx

NAMES_OF_BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def test_idx_files_become_tensors(tmp_path, monkeypatch):
    files, arrays = small_mnist(monkeypatch)
    put(tmp_path, files)
    found = load("mnist", tmp_path)
    assert found.verified
    assert found.splits["train"].inputs.shape == (40, 1, 28, 28)
    assert torch.equal(found.splits["test"].inputs[:, 0], torch.from_numpy(arrays[2]))
    assert found.splits["test"].targets.tolist() == arrays[3].tolist()
    assert found.record()["examples"] == {"train": 40, "test": 20}


def test_a_changed_file_is_named_with_both_hashes_and_read_on_request_only(tmp_path, monkeypatch):
    files, arrays = small_mnist(monkeypatch)
    name = "mnist/t10k-labels-idx1-ubyte.gz"
    changed = idx(9 - arrays[3])
    put(tmp_path, files | {name: changed})
    with pytest.raises(EstimlabError) as error:
        load("mnist", tmp_path)
    for part in ("t10k-labels", sha256(files[name]), sha256(changed)):
        assert part in str(error.value)
    accepted = load("mnist", tmp_path, accept_unverified=True)
    assert [file["verified"] for file in accepted.record()["files"]] == [True, True, True, False]
    assert not accepted.record()["verified"]


@pytest.mark.parametrize("keep", [3, 30, -5])
def test_a_truncated_idx_file_is_named_even_where_unverified_files_are_accepted(tmp_path, keep):
    (tmp_path / "x.gz").write_bytes(idx(pixels(5, 4, 4))[:keep])
    with pytest.raises(EstimlabError, match=r"x\.gz is truncated"):
        read_idx(tmp_path / "x.gz")


def test_the_text_of_bits_and_its_packed_form_give_the_same(tmp_path, monkeypatch):
    files, bits = small_binarized(monkeypatch)
    put(tmp_path / "text", files)
    (tmp_path / "packed").mkdir()
    keys = {"train": "train", "validation": "valid", "test": "test"}
    np.savez(tmp_path / "packed/binarized_mnist.npz", **{keys[split]: array for split, array in bits.items()})
    text, packed = load("binarized_mnist", tmp_path / "text"), load("binarized_mnist", tmp_path / "packed")
    assert text.verified
    assert packed.verified
    for split in bits:
        assert torch.equal(text.splits[split].inputs, packed.splits[split].inputs)
        assert torch.equal(text.splits[split].inputs.reshape(6, 784), torch.from_numpy(bits[split]))
    put(tmp_path / "text", {name: data[:-100] for name, data in files.items()})
    with pytest.raises(EstimlabError, match=r"binarized_mnist_train\.amat is truncated .*expected sha256"):
        load("binarized_mnist", tmp_path / "text", accept_unverified=True)


def cifar_files(form):
    write = {"bin": cifar_records, "py": cifar_pickle}[form]
    parts = [(pixels(4, 3, 32, 32, seed=k), pixels(4, top=10, seed=k)) for k in range(6)]
    ending = ".bin" if form == "bin" else ""
    return {f"cifar-10-batches-{form}/{n}{ending}": write(*p) for n, p in zip(NAMES_OF_BATCHES, parts, strict=True)}


def test_cifar_reads_the_same_from_either_form_and_from_its_archive(tmp_path, monkeypatch):
    small = tuple(PublishedFile(f.name, f.folders, size=4 * 3073) for f in published.CIFAR10_BATCHES_BIN)
    monkeypatch.setattr(published, "CIFAR10_BATCHES_BIN", small)
    put(tmp_path / "bin", cifar_files("bin"))
    put(tmp_path / "py", cifar_files("py"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in cifar_files("bin").items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    put(tmp_path / "tar", {"cifar-10-binary.tar.gz": buffer.getvalue()})
    checksum = sha256(buffer.getvalue())
    archive = PublishedFile("cifar-10-binary.tar.gz", published.CIFAR10_BINARY.folders, checksum)
    monkeypatch.setattr(published, "CIFAR10_BINARY", archive)
    sets = [load("cifar10", tmp_path / form, accept_unverified=form != "tar") for form in ("bin", "py", "tar")]
    assert [found.verified for found in sets] == [False, False, True]
    for found in sets:
        assert found.splits["train"].inputs.shape == (20, 3, 32, 32)
        assert torch.equal(found.splits["train"].inputs[-4:], torch.from_numpy(pixels(4, 3, 32, 32, seed=4)))
        assert found.splits["test"].targets.tolist() == pixels(4, top=10, seed=5).tolist()


def test_extracted_binary_batches_have_no_published_checksum_and_need_consent(tmp_path, monkeypatch):
    small = tuple(PublishedFile(f.name, f.folders, size=4 * 3073) for f in published.CIFAR10_BATCHES_BIN)
    monkeypatch.setattr(published, "CIFAR10_BATCHES_BIN", small)
    put(tmp_path, cifar_files("bin"))
    with pytest.raises(EstimlabError, match=r"data_batch_1\.bin cannot be verified.*--accept-unverified"):
        load("cifar10", tmp_path)


def test_a_pickle_that_calls_something_is_refused():
    class Evil:
        def __reduce__(self):
            return os.getcwd, ()

    with pytest.raises(EstimlabError, match="getcwd"):
        read_cifar_pickle(pickle.dumps({b"data": Evil()}), "batch")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_without_data_and_without_pooch_one_sentence_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(EstimlabError) as error:
        load(name, tmp_path)
    message = str(error.value)
    assert "ESTIMLAB_DATA" in message
    assert "pip install" in message
    assert "http" in message
    assert ". " not in message.replace(str(tmp_path), "")


unclosed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def server(tmp_path):
    """The address of a server of the folder ``site``."""
    (tmp_path / "site").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/", tmp_path / "site"
        running.shutdown()
    gc.collect()  # sockets that a client leaves to the collector warn here, not in a later test


@unclosed
def test_a_missing_file_is_downloaded_verified_and_kept(server, tmp_path):
    pytest.importorskip("pooch")
    address, site = server
    put(site, {"good": b"abc"})
    file = PublishedFile("good", ("set",), sha256(b"abc"), (address + "missing", address + "good"))
    path, record = find_file(file, tmp_path / "user")
    assert path == tmp_path / "user/set/good"
    assert record.verified
    (site / "good").unlink()
    assert find_file(file, tmp_path / "user")[0].read_bytes() == b"abc"


@unclosed
def test_a_download_with_another_hash_is_not_kept(server, tmp_path):
    pytest.importorskip("pooch")
    address, site = server
    put(site, {"bad": b"xyz"})
    with pytest.raises(EstimlabError, match="bad is neither in"):
        find_file(PublishedFile("bad", ("set",), sha256(b"abc"), (address + "bad",)), tmp_path / "user")
    assert not (tmp_path / "user/set/bad").exists()


def test_the_folder_is_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("ESTIMLAB_DATA", str(tmp_path / "own"))
    assert data_folder() == tmp_path / "own"
    assert data_folder(tmp_path) == tmp_path
    monkeypatch.delenv("ESTIMLAB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "estimlab"


def test_an_unknown_name_is_answered_by_a_known_one():
    with pytest.raises(EstimlabError, match="'fashion_mnist'"):
        load("fashion_mnits")


def test_digits_are_those_of_scikit_learn():
    found = load("digits")
    assert found.verified
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 1438, "test": 359}
    assert int(found.splits["train"].inputs.max()) == found.top


@pytest.mark.parametrize(
    ("name", "places", "first_labels"),
    [
        ("mnist", ("MNIST", "mnist"), [5, 0, 4, 1, 9]),
        ("fashion_mnist", ("FashionMNIST", "fashion_mnist"), [9, 0, 0, 3, 0]),
        ("cifar10", ("cifar-10-batches-bin",), [6, 9, 9, 4, 1]),
    ],
)
def test_real_files(name, places, first_labels):
    folder = data_folder()
    if not any((folder / place).is_dir() for place in places):
        pytest.skip(f"ESTIMLAB_DATA holds no {name}")
    found = load(name, accept_unverified=name == "cifar10")
    assert found.splits["train"].targets[:5].tolist() == first_labels
    counts = torch.bincount(found.splits["test"].targets)
    assert int(counts.sum()) == 10_000
    assert name == "mnist" or counts.tolist() == [1000] * 10


def test_an_epoch_is_a_permutation_that_seed_and_number_decide():
    first = shuffled(100, 3, 1)
    assert sorted(first.tolist()) == list(range(100))
    assert torch.equal(first, shuffled(100, 3, 1))
    assert not torch.equal(first, shuffled(100, 3, 2))
    assert not torch.equal(first, shuffled(100, 4, 1))


def test_bytes_are_scaled_to_plus_minus_one():
    assert scaled(torch.tensor([[[[0, 8, 16]]]], dtype=torch.uint8), 16).tolist() == [[[[-1.0, 0.0, 1.0]]]]


def test_flip_and_crop_moves_each_image_by_its_own_key():
    images = torch.rand(200, 2, 6, 5)
    rows = row_keys(0, 1, torch.arange(200))
    moved = flip_and_crop(images, rows, pad=2)
    padded = torch.nn.functional.pad(images, (2,) * 4, value=-1.0)
    seen = set()
    for image, source in zip(moved, padded, strict=True):
        windows = {
            (y, x, flipped): (source.flip(2) if flipped else source)[:, y : y + 6, x : x + 5]
            for y in range(5)
            for x in range(5)
            for flipped in (False, True)
        }
        seen |= {key for key, window in windows.items() if torch.equal(window, image)}
    assert len(seen) == 50  # every shift, mirrored and not
    assert torch.equal(moved[50:], flip_and_crop(images[50:], rows[50:], pad=2))


def test_no_pad_and_no_flip_leaves_an_image_alone():
    images, rows = torch.rand(50, 1, 4, 4), row_keys(0, 0, torch.arange(50))
    moved = flip_and_crop(images, rows, pad=0)
    same = (moved == images).flatten(1).all(1)
    mirrored = (moved == images.flip(3)).flatten(1).all(1)
    assert bool((same | mirrored).all())
    assert 10 < int(same.sum()) < 40


@pytest.mark.parametrize("content", ["truncated", "other arrays", "other shape"])
def test_packed_bits_that_are_damaged_are_named(tmp_path, content):
    path = tmp_path / "binarized_mnist.npz"
    arrays = dict.fromkeys(("train", "valid", "test"), np.zeros((2, 7 if content == "other shape" else 784), np.uint8))
    np.savez(path, **({"x": np.zeros(3)} if content == "other arrays" else arrays))
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EstimlabError, match=r"binarized_mnist\.npz"):
        load("binarized_mnist", tmp_path)
