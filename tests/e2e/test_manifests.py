"""The manifests, as a real API server takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.core.errors import ConfigError
from gate.kube.api import in_cluster, own_namespace
from gate.kube.secrets import read_secret_key
from tests.e2e.cluster import SETTLE_SECONDS, Cluster
from tests.e2e.kubeapi import Object, must
from tests.e2e.kubectl import Kubectl
from tests.e2e.processes import wait_until
from tests.integration import kustomize

NAMESPACE = "oci-webhook"
WEBHOOK = "ValidatingWebhookConfiguration"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
ACCOUNT = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/signature-verification-sa"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/signature-verification-server"
WORKLOAD_IDENTITY = {"iam.gke.io/gcp-service-account": "gate@project.iam.gserviceaccount.com"}
TIMEOUT = 2.0  # seconds for one answer of the API server


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster, folder: Path) -> Kubectl:
    """Return kubectl for the cluster of the run."""
    return Kubectl(cluster, folder)


@pytest.fixture(scope="module")
def rendered() -> list[Object]:
    """Return the objects of ``kubectl apply -k manifests``."""
    return list(kustomize.render(kustomize.MANIFESTS))


def sample_deployment() -> Object:
    """Return a Deployment of the published sample's names and selector, which cannot be changed."""
    labels = {"app": "signature-verification-server"}
    container = {"name": "signature-verification-server", "image": "sample.example.test/server:v1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "signature-verification-server", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@pytest.fixture(scope="module")
def installed(cluster: Cluster, kubectl: Kubectl, rendered: list[Object]) -> Cluster:
    """Return the cluster with the manifests applied over the sample; its webhook stays the one under test."""
    cluster.namespace(NAMESPACE)
    account = {"metadata": {"name": "signature-verification-sa", "annotations": WORKLOAD_IDENTITY}}
    must(cluster.admin.create(ACCOUNT.rpartition("/")[0], account))
    kubectl.apply([sample_deployment()])
    kubectl.apply([each for each in rendered if each["kind"] != WEBHOOK])
    return cluster


def test_the_manifests_apply_over_the_sample_and_keep_the_annotation_of_its_service_account(
    installed: Cluster, rendered: list[Object]
) -> None:
    account = must(installed.admin.get(ACCOUNT))
    assert account["metadata"]["annotations"].items() >= WORKLOAD_IDENTITY.items()
    wanted = kustomize.one(rendered, "Deployment")
    deployment = must(installed.admin.get(DEPLOYMENT))
    assert deployment["spec"]["replicas"] == wanted["spec"]["replicas"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == wanted["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_api_server_takes_the_webhook_configuration_as_it_is_written(
    kubectl: Kubectl, rendered: list[Object]
) -> None:
    webhook = kustomize.one(rendered, WEBHOOK)
    # Under another name: in this cluster the real one points to the gate of the test run.
    copy = webhook | {"metadata": {"name": "image-verification-webhook-copy"}}
    assert "created (server dry run)" in kubectl.apply([copy], "--dry-run=server")


def test_the_api_server_takes_every_component(installed: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    assert installed.url
    components = sorted(each.name for each in (kustomize.MANIFESTS / "components").iterdir())
    objects = [each for each in kustomize.overlay(tmp_path, components) if each["kind"] != WEBHOOK]
    taken = kubectl.apply(objects, "--dry-run=server")
    assert taken.count("(server dry run)") == len(objects)
    assert {"NetworkPolicy", "Deployment"} <= {each["kind"] for each in objects}


@pytest.fixture
def mount(installed: Cluster, tmp_path: Path) -> Path:
    """Return what a pod of the Deployment finds mounted: the token, the authority and the namespace."""
    (tmp_path / "token").write_text(installed.token(NAMESPACE, "signature-verification-sa"))
    (tmp_path / "ca.crt").write_bytes(installed.authority.read_bytes())
    (tmp_path / "namespace").write_text(NAMESPACE)
    return tmp_path


def test_gate_reads_the_registry_token_from_its_secret_and_may_read_no_other(installed: Cluster, mount: Path) -> None:
    for name, token in (("registry-token", "ya29.from-the-secret"), ("other", "not for gate")):
        must(installed.admin.create(SECRETS, {"metadata": {"name": name}, "stringData": {"token": token}}))
    host, _, port = installed.url.removeprefix("https://").partition(":")
    api = in_cluster({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}, mount)
    namespace = own_namespace(mount)

    def readable() -> bool:
        try:
            return bool(read_secret_key(api, namespace, "registry-token", "token", TIMEOUT))
        except ConfigError:
            return False

    try:
        wait_until(readable, SETTLE_SECONDS, "the RoleBinding is in force")
        assert read_secret_key(api, namespace, "registry-token", "token", TIMEOUT) == b"ya29.from-the-secret"
        with pytest.raises(ConfigError, match="may not read"):
            read_secret_key(api, namespace, "other", "token", TIMEOUT)
        with pytest.raises(ConfigError, match="has no key"):
            read_secret_key(api, namespace, "registry-token", "password", TIMEOUT)
    finally:
        api.close()
