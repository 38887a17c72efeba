"""A Dask cluster that computes cells. Dask sends pickles, which run code: connect to schedulers that you trust.

Whoever reaches a scheduler without TLS can run code on its workers, and on the machine of whoever connects to it. With
TLS, scheduler, workers and clients show each other certificates of one authority; the files are handed to Dask's own
``distributed.Security`` as they are.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimlab.errors import EstimlabError

CONNECT_SECONDS = 30


@dataclass(frozen=True)
class Tls:
    """Files in PEM format; None: no TLS.

    Attributes:
        ca: certificate of the authority that signed those of scheduler and workers.
        cert: our certificate.
        key: its private key.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        files = {"--tls-ca": self.ca, "--tls-cert": self.cert, "--tls-key": self.key}
        if not any(files.values()):
            return
        for option, path in files.items():
            if path is None:
                raise EstimlabError(f"{option} is missing: TLS needs --tls-ca, --tls-cert and --tls-key together.")
            if not path.is_file():
                raise EstimlabError(f"{option}: there is no file {path}.")

    def require_for(self, address: str) -> None:
        """The address asks for TLS exactly where its files are given."""
        if self.ca is None and address.startswith("tls://"):
            raise EstimlabError(f"--scheduler {address}: give --tls-ca, --tls-cert and --tls-key with it.")
        if self.ca is not None and not address.startswith("tls://"):
            raise EstimlabError(
                f"--scheduler {address}: with --tls-ca the address must begin with tls://, or nothing is encrypted."
            )

    def security(self, distributed: Any) -> Any:
        """What Dask takes; None without TLS."""
        if self.ca is None:
            return None
        return distributed.Security(
            tls_ca_file=str(self.ca),
            tls_client_cert=str(self.cert),
            tls_client_key=str(self.key),
            require_encryption=True,
        )


@contextmanager
def cluster(address: str, tls: Tls) -> Iterator[Executor]:
    """An executor on the cluster whose scheduler listens at an address.

    Raises:
        EstimlabError: Dask is missing or broken, or no scheduler answers.
    """
    tls.require_for(address)
    distributed = _distributed()
    try:
        client = distributed.Client(address, security=tls.security(distributed), timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise EstimlabError(
            f"No Dask scheduler answers at {address!r} ({error}). Check the address, that the scheduler runs, and "
            "whether it asks for TLS (--tls-ca, --tls-cert, --tls-key)."
        ) from error
    with client:
        yield client.get_executor()


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        if error.name in ("dask", "distributed"):
            raise EstimlabError("--scheduler needs Dask: install it with pip install 'estimlab[cluster]'.") from error
        raise EstimlabError(_broken(error)) from error
    except Exception as error:
        raise EstimlabError(_broken(error)) from error


def _broken(error: Exception) -> str:
    return (
        f"--scheduler: Dask is installed here but cannot be imported. {type(error).__name__}: {error}. "
        "Install it again with pip install --force-reinstall 'estimlab[cluster]'."
    )
