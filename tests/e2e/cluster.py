"""A real API server with a real etcd on loopback: the whole admission chain, without any node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kubeapi import Api, must
from tests.e2e.pki import Authority, service_account_key
from tests.e2e.processes import Process, free_port, wait_until
from tests.e2e.toolbox import SHARED, tool

READY_SECONDS = 90  # measured: 4 to 8 s on 2 cores
SETTLE_SECONDS = 20  # between an object written and all of the API server acting on it
SYSTEM_NAMESPACE = "config-management-system"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Cluster:
    """The API server as its administrator, and as any ServiceAccount."""

    def __init__(self, url: str, authority: Path, admin: tuple[Path, Path]) -> None:
        """Keep what a client needs; ``admin`` is the administrator's certificate and key."""
        self.url = url
        self.authority = authority
        self.admin_files = admin
        self._clients = contextlib.ExitStack()
        self.admin = self._client(Api(url, authority, cert=admin))

    def close(self) -> None:
        """Close every client."""
        self._clients.close()

    def _client(self, api: Api) -> Api:
        self._clients.callback(api.close)
        return api

    def namespace(self, name: str) -> str:
        """Create a namespace and return its name."""
        must(self.admin.create("/api/v1/namespaces", {"metadata": {"name": name}}))
        return name

    def service_account(self, namespace: str, name: str) -> str:
        """Create the ServiceAccount and return a token of it."""
        must(self.admin.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}}))
        return self.token(namespace, name)

    def token(self, namespace: str, name: str) -> str:
        """Return a token of a ServiceAccount that exists, from the TokenRequest API."""
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": 3600},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        answer = must(self.admin.create(path, request))
        return str(answer["status"]["token"])

    def user(self, token: str) -> Api:
        """Return the API server as the holder of ``token``."""
        return self._client(Api(self.url, self.authority, token=token))


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster with the Config Sync CRDs, namespace and roles; its logs and files stay in ``folder``."""
    etcd, apiserver = tool("etcd"), tool("kube-apiserver")
    authority = Authority(folder, "cluster-ca")
    admin = authority.issue("admin", organization="system:masters")
    with contextlib.ExitStack() as stack:
        storage = f"http://127.0.0.1:{free_port()}"
        stack.enter_context(Process(_etcd(etcd, folder, storage), folder / "etcd.log"))
        port = free_port()
        server = stack.enter_context(
            Process(_apiserver(apiserver, folder, authority, storage, port), folder / "kube-apiserver.log")
        )
        cluster = Cluster(f"https://127.0.0.1:{port}", authority.certificate, admin)
        stack.callback(cluster.close)
        server.ready(lambda: cluster.admin.text("/readyz") == "ok", READY_SECONDS)
        _install_config_sync(cluster)
        yield cluster


def _etcd(program: Path, folder: Path, url: str) -> list[str | Path]:
    peer = f"http://127.0.0.1:{free_port()}"
    return [
        *(program, "--data-dir", folder / "etcd", "--unsafe-no-fsync"),
        *("--listen-client-urls", url, "--advertise-client-urls", url),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
    ]


def _apiserver(program: Path, folder: Path, authority: Authority, storage: str, port: int) -> list[str | Path]:
    certificate, key = authority.issue("kube-apiserver")
    tokens = service_account_key(folder / "service-accounts.key")
    return [
        program,
        f"--etcd-servers={storage}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        f"--client-ca-file={authority.certificate}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={tokens}",
        f"--service-account-signing-key-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        # There is no controller manager that would make the default ServiceAccounts it insists on.
        "--disable-admission-plugins=ServiceAccount",
    ]


def _install_config_sync(cluster: Cluster) -> None:
    for definition in definitions():
        name = must(cluster.admin.create(CRDS, definition))["metadata"]["name"]
        plural = name.split(".")[0]

        def served(plural: str = plural) -> bool:
            versions = ("v1beta1", "v1alpha1")
            return all(cluster.admin.get(f"/apis/configsync.gke.io/{each}/{plural}").ok for each in versions)

        wait_until(served, SETTLE_SECONDS, f"the API server serves {name}")
    cluster.namespace(SYSTEM_NAMESPACE)
    for role in roles():
        must(cluster.admin.create(f"{RBAC}/clusterroles", role))


def definitions() -> list[dict[str, Any]]:
    """Return the CRDs: Config Sync's own where they lie beside the checkout, else the project's smallest ones."""
    folder = SHARED / "crds"
    if not folder.is_dir():
        folder = Path(__file__).parent / "crds"
    return [yaml.safe_load((folder / f"{kind}-crd.yaml").read_text()) for kind in ("rootsync", "reposync")]


def roles() -> list[dict[str, Any]]:
    """Return what Config Sync lets its reconcilers do to the syncs, and nothing more."""
    verbs = ["get", "list", "watch", "update", "patch"]
    return [
        {
            "metadata": {"name": f"configsync.gke.io:{reconciler}"},
            "rules": [
                {"apiGroups": ["configsync.gke.io"], "resources": [plural, f"{plural}/status"], "verbs": verbs},
            ],
        }
        for reconciler, plural in (("root-reconciler", "rootsyncs"), ("ns-reconciler", "reposyncs"))
    ]
