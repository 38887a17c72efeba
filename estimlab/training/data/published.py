"""The files as their authors publish them: names, addresses, checksums, and whom to cite."""

from __future__ import annotations

from estimlab.training.data.files import PublishedFile

CITE_DIGITS = "Alpaydin & Kaynak 1998, UCI repository, CC BY 4.0; as scikit-learn distributes them"
CITE_MNIST = "LeCun, Bottou, Bengio & Haffner 1998; CC BY-SA 3.0 (as is commonly given)"
CITE_FASHION = "Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747; MIT licence"
CITE_BINARIZED = "Larochelle & Murray 2011, after Salakhutdinov & Murray 2008; terms of MNIST"
CITE_CIFAR10 = "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images; no licence stated"

DIGITS = "sha256:87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
"""Checksum of all pixels and labels as bytes."""


def _idx(names: dict[str, str], folders: tuple[str, ...], sites: tuple[str, ...]) -> tuple[PublishedFile, ...]:
    return tuple(
        PublishedFile(f"{name}.gz", folders, f"md5:{md5}", tuple(f"{site}{name}.gz" for site in sites))
        for name, md5 in names.items()
    )


MNIST = _idx(
    {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    ("mnist", "MNIST/raw"),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
)
FASHION_MNIST = _idx(
    {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    ("fashion_mnist", "FashionMNIST/raw"),
    (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # offers no https
    ),
)


def _amat(split: str, sha256: str, rows: int) -> PublishedFile:
    name = f"binarized_mnist_{split}.amat"
    sites = ("https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",)
    return PublishedFile(
        name, ("binarized_mnist",), f"sha256:{sha256}", tuple(site + name for site in sites), rows * 784 * 2
    )


BINARIZED_MNIST = {
    "train": _amat("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d", 50_000),
    "validation": _amat("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2", 10_000),
    "test": _amat("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c", 10_000),
}

_CIFAR10_SITE = "https://www.cs.toronto.edu/~kriz/"
_CIFAR10_FOLDERS = ("cifar10", ".")


def _archive(kind: str, md5: str) -> PublishedFile:
    name = f"cifar-10-{kind}.tar.gz"
    return PublishedFile(name, _CIFAR10_FOLDERS, f"md5:{md5}", (_CIFAR10_SITE + name,))


CIFAR10_BINARY = _archive("binary", "c32a1d4ab5d03f1284b67883e8d87530")
CIFAR10_PYTHON = _archive("python", "c58f30108f718f92721af3b95e74349a")
CIFAR10_BATCHES_PY = tuple(
    PublishedFile(name, ("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10"), f"md5:{md5}")
    for name, md5 in {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    }.items()
)
CIFAR10_BATCHES_BIN = tuple(
    PublishedFile(f"{name}.bin", ("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10"), size=30_730_000)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
)
