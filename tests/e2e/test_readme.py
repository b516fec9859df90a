"""The README's installation, run as written against an API server of its own."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.cosign import SIGNERS
from tests.e2e.kubeapi import Object, must
from tests.e2e.kubectl import Kubectl
from tests.e2e.toolbox import CHECKOUT, tool
from tests.readme import README, block

SECONDS = 120
NAMESPACE = "/api/v1/namespaces/oci-webhook"
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/image-verification-webhook"
DEPLOYMENT = "/apis/apps/v1/namespaces/oci-webhook/deployments/signature-verification-server"


@dataclass(frozen=True, slots=True)
class Platform:
    """A cluster, and a folder with what a platform engineer has at hand: the manifests and the tools."""

    cluster: Cluster
    folder: Path

    def run(self, name: str) -> None:
        """Run the README's block ``name`` as it is written."""
        environ = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
        }
        argv = ["sh", "-eu", "-c", block(name)]
        done = subprocess.run(
            argv, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr

    def get(self, path: str) -> Object:
        return must(self.cluster.admin.get(path))


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("readme")
    with running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        Kubectl(cluster, folder)
        shutil.copytree(CHECKOUT / "manifests", folder / "manifests")
        (folder / "bin").mkdir()
        # Nobody ends a namespace here: there is no controller manager, so a deletion is not waited for.
        script(
            folder / "bin" / "kubectl", f'[ "$1" != delete ] || set -- "$@" --wait=false\nexec "{tool("kubectl")}" "$@"'
        )
        # Neither is a tool of this suite: the one prints a token, the other adds a line to a file.
        script(folder / "bin" / "gcloud", "echo ya29.token")
        script(folder / "bin" / "kustomize", 'echo "components: [$4]" >> kustomization.yaml')
        (folder / "cosign.pub").write_text("a public key\n")
        (folder / "policy.yaml").write_text(block("policy"))
        yield Platform(cluster, folder)


def test_the_installation_of_the_readme_runs_as_written_from_certificate_to_uninstalling(platform: Platform) -> None:
    platform.run("certificate")
    platform.run("install")
    (webhook,) = platform.get(WEBHOOK)["webhooks"]
    assert base64.b64decode(webhook["clientConfig"]["caBundle"]) == (platform.folder / "ca.crt").read_bytes()
    assert set(platform.get(f"{NAMESPACE}/secrets/webhook-tls")["data"]) == {"tls.crt", "tls.key"}
    assert set(platform.get(f"{NAMESPACE}/secrets/cosign-key")["data"]) == {"cosign.pub"}

    platform.run("token")
    assert base64.b64decode(platform.get(f"{NAMESPACE}/secrets/registry-token")["data"]["token"]) == b"ya29.token"

    platform.run("configmap")
    assert platform.get(f"{NAMESPACE}/configmaps/gate-policy")["data"]["policy.yaml"] == block("policy")
    (container,) = platform.get(DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    assert {"name": "GATE_POLICY", "value": "/etc/gate/policy.yaml"} in container["env"]
    (webhook,) = platform.get(WEBHOOK)["webhooks"]
    assert webhook["clientConfig"]["caBundle"], "applying again keeps what was patched in"

    platform.run("uninstall")
    assert platform.cluster.admin.get(WEBHOOK).status == 404
    assert platform.cluster.admin.get(DEPLOYMENT).status == 404


def test_the_readme_signs_as_the_suite_does() -> None:
    signing = [line for line in README.splitlines() if line.startswith("cosign sign ")]
    flags = [{word for word in line.split() if word.startswith("--") and word != "--key"} for line in signing]
    by_name = {signer.name: {"--tlog-upload=false", *signer.flags} for signer in SIGNERS}
    assert flags == [by_name["cosign2-tag"], by_name["cosign3-bundle"]]
