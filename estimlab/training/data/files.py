"""Files of data sets: where they lie, whether they are the published ones, and how they are fetched.

The user's folder is the environment variable ``ESTIMLAB_DATA``, else ``~/.cache/estimlab``. What is not there is
downloaded by pooch where that is installed.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from estimlab.errors import EstimlabError

VARIABLE = "ESTIMLAB_DATA"


@dataclass(frozen=True)
class PublishedFile:
    """A file as its authors publish it.

    Attributes:
        name: of the file.
        folders: where it may lie in the user's folder, the first one being where a download goes.
        checksum: ``"md5:..."`` or ``"sha256:..."`` as published; None where only an archive's is.
        urls: where it can be had, best first.
        size: in bytes, where it is known.
    """

    name: str
    folders: tuple[str, ...]
    checksum: str | None = None
    urls: tuple[str, ...] = ()
    size: int | None = None


@dataclass(frozen=True)
class FileRecord:
    """What provenance keeps of a file that was read.

    Attributes:
        name: of the file.
        checksum: found, ``"md5:..."`` or ``"sha256:..."``.
        verified: whether it is the published one.
    """

    name: str
    checksum: str
    verified: bool

    def columns(self) -> dict[str, str | bool]:
        """As a JSON object."""
        return asdict(self)


def data_folder(folder: str | Path | None = None) -> Path:
    """The given folder, else that of ``ESTIMLAB_DATA``, else ``$XDG_CACHE_HOME/estimlab`` or ``~/.cache/estimlab``."""
    if folder is not None:
        return Path(folder).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "estimlab"


def where(file: PublishedFile, folder: Path) -> Path | None:
    """The path of a file in the user's folder, or None."""
    return next((path for place in file.folders if (path := folder / place / file.name).is_file()), None)


def present(files: Iterable[PublishedFile], folder: Path) -> bool:
    """Whether at least one of the files is there: a set of which some are missing is named as such, not passed over."""
    return any(where(file, folder) is not None for file in files)


def find_file(file: PublishedFile, folder: Path, accept_unverified: bool = False) -> tuple[Path, FileRecord]:
    """The path of a file that is what its authors published, downloaded where it is missing.

    Raises:
        EstimlabError: it is missing and cannot be downloaded; or it is another file than the published one and
            ``accept_unverified`` is False; or it has the wrong size.
    """
    path = where(file, folder) or _download(file, folder)
    _check_size(file, path)
    record = verify(file, path)
    if not (record.verified or accept_unverified):
        raise EstimlabError(_mismatch(file, path, record))
    return path, record


def verify(file: PublishedFile, path: Path) -> FileRecord:
    """Compare a file with its published checksum."""
    algorithm = (file.checksum or "sha256:").partition(":")[0]
    with path.open("rb") as stream:
        found = f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
    return FileRecord(file.name, found, found == file.checksum)


def _check_size(file: PublishedFile, path: Path) -> None:
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        found = verify(file, path).checksum
        raise EstimlabError(
            f"{path} is truncated or not the right file: it has {size} bytes, the published one {file.size} "
            f"(found {found}, expected {file.checksum or 'no published checksum'}). Delete it and get it again."
        )


def _mismatch(file: PublishedFile, path: Path, record: FileRecord) -> str:
    if file.checksum is None:
        return (
            f"{path} cannot be verified: its authors publish no checksum of this file (found {record.checksum}), only "
            "of the archive that holds it. Put the archive in its place, or accept unverified files "
            "(--accept-unverified, accept_unverified=True); the provenance will say so."
        )
    return (
        f"{path} is not the published file: expected {file.checksum}, found {record.checksum}. Delete it and get it "
        "again, or accept unverified files (--accept-unverified, accept_unverified=True); the provenance will say so."
    )


def _download(file: PublishedFile, folder: Path) -> Path:
    """Fetch a file by pooch, which verifies it, into the first of its folders."""
    try:
        pooch = importlib.import_module("pooch")
    except ImportError:
        raise EstimlabError(_missing(file, folder)) from None
    pooch.get_logger().setLevel(logging.WARNING)
    failure: Exception | None = None
    for url in file.urls:
        try:
            path = folder / file.folders[0]
            return Path(pooch.retrieve(url, known_hash=file.checksum, fname=file.name, path=path))
        except Exception as error:  # of requests, of the file system, or a wrong hash: try the next address
            failure = error
    raise EstimlabError(_missing(file, folder)) from failure


def _missing(file: PublishedFile, folder: Path) -> str:
    """One sentence that says how to get it."""
    source = f" from {file.urls[0]}" if file.urls else ""
    return (
        f"{file.name} is neither in {folder / file.folders[0]} nor could it be downloaded: put the file{source} there, "
        f"or set {VARIABLE} to a folder that holds {file.folders[0]}/{file.name}, or connect to the network with "
        "pooch installed (pip install 'estimlab[data]')."
    )
