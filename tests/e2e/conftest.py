"""One API server, two registries and one gate for the whole run; each is ended with the run, however that ends."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.cosign import KeyPair, key_pair
from tests.e2e.registries import running_distribution, running_olareg
from tests.e2e.sigstore_box import Sigstore, running_sigstore
from tests.e2e.webhook import GateServer, plain_http, register
from tests.e2e.workbench import Workbench

_folder = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Treat SIGTERM like Ctrl-C, so that a run which is cut off still ends what it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of gate's logs with every failure."""
    report = yield
    folder = item.config.stash.get(_folder, None)
    if report.failed and folder is not None:
        for log in sorted(folder.rglob("gate.log")):
            name = f"gate's log, {log.relative_to(folder)}"
            report.sections.append((name, log.read_text(errors="replace")[-4000:]))
    return report


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Return the folder with every file and log of the run."""
    return request.config.stash.setdefault(_folder, tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="session")
def cluster(folder: Path) -> Iterator[Cluster]:
    """Return the API server, with Config Sync's CRDs and roles."""
    with running_cluster(folder) as running:
        yield running


@pytest.fixture(scope="session")
def olareg(folder: Path) -> Iterator[str]:
    """Return the host and port of a registry with the referrers API."""
    with running_olareg(folder) as host:
        yield host


@pytest.fixture(scope="session")
def distribution(folder: Path) -> Iterator[str]:
    """Return the host and port of a registry without the referrers API."""
    with running_distribution(folder) as host:
        yield host


@pytest.fixture(params=["olareg", "distribution"])
def registry(request: pytest.FixtureRequest) -> str:
    """Return the host and port of either registry, one after the other."""
    host: str = request.getfixturevalue(request.param)
    return host


@pytest.fixture(scope="session")
def release(folder: Path) -> KeyPair:
    """Return the key pair whose signatures count."""
    return key_pair(folder, "cosign")


@pytest.fixture(scope="session")
def stranger(folder: Path) -> KeyPair:
    """Return a key pair that no policy names."""
    return key_pair(folder, "stranger")


@pytest.fixture(scope="session")
def sigstore(folder: Path) -> Iterator[Sigstore]:
    """Return a private Sigstore, in which whoever asks for a token is believed."""
    with running_sigstore(folder) as running:
        yield running


@pytest.fixture(scope="session")
def gate(folder: Path, cluster: Cluster, release: KeyPair, olareg: str, distribution: str) -> Iterator[GateServer]:
    """Return gate, running and asked by the API server about every RootSync and RepoSync."""
    server = GateServer(folder, release, [plain_http(olareg), plain_http(distribution)])
    try:
        server.start()
        register(cluster, server)
        yield server
    finally:
        server.stop()


@pytest.fixture
def bench(cluster: Cluster, gate: GateServer) -> Workbench:
    """Return names and clients for one test, with gate running."""
    assert gate.port
    return Workbench(cluster)
