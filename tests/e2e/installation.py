"""A cluster without gate, and a folder with what a platform engineer has at hand to install it as the documents say."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.cluster import Cluster, running_cluster
from tests.e2e.kubeapi import Object, must
from tests.e2e.kubectl import Kubectl
from tests.e2e.toolbox import CHECKOUT, tool
from tests.readme import README, block

SECONDS = 120
NAMESPACE = "/api/v1/namespaces/oci-webhook"
WEBHOOK = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/image-verification-webhook"
DEPLOYMENT = "/apis/apps/v1/namespaces/oci-webhook/deployments/signature-verification-server"

# Tools that are none of this suite: they do the one thing that the documents want of each.
KUSTOMIZE = """\
case "$2 $3" in
"add component") echo "components: [$4]" ;;
"set image") new=${4#*=}; echo "images: [{name: ${4%%=*}, newName: ${new%:*}, newTag: ${new##*:}}]" ;;
*) exit 2 ;;
esac >> kustomization.yaml"""
COSIGN = 'test "$1 $2" = "generate-key-pair --output-key-prefix" && echo "another public key" > "$3.pub"'


@dataclass(frozen=True, slots=True)
class Platform:
    """A cluster, and a folder with the manifests and the tools."""

    cluster: Cluster
    folder: Path

    def run(self, name: str, document: str = README) -> None:
        """Run the block ``name`` of a document as it is written."""
        environ = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "REGISTRY": "registry.example.test/acme",
        }
        argv = ["sh", "-eu", "-c", block(name, document)]
        done = subprocess.run(
            argv, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr

    def get(self, path: str) -> Object:
        return must(self.cluster.admin.get(path))

    def webhook(self) -> Object:
        """Return the only webhook of the configuration."""
        (webhook,) = self.get(WEBHOOK)["webhooks"]
        return dict(webhook)

    def pod(self) -> Object:
        """Return the specification of the Deployment's Pods."""
        return dict(self.get(DEPLOYMENT)["spec"]["template"]["spec"])


@contextmanager
def running_platform(folder: Path, clusters: Path) -> Iterator[Platform]:
    """Yield the platform, with a public key and a policy in its ``folder``; ``clusters`` holds the cluster's files."""
    with running_cluster(clusters) as cluster:
        Kubectl(cluster, folder)
        shutil.copytree(CHECKOUT / "manifests", folder / "manifests")
        (folder / "bin").mkdir()
        # Nobody ends a namespace here: there is no controller manager, so a deletion is not waited for.
        _script(
            folder / "bin" / "kubectl", f'[ "$1" != delete ] || set -- "$@" --wait=false\nexec "{tool("kubectl")}" "$@"'
        )
        for name, text in (("gcloud", "echo ya29.token"), ("kustomize", KUSTOMIZE), ("cosign", COSIGN)):
            _script(folder / "bin" / name, text)
        (folder / "cosign.pub").write_text("a public key\n")
        (folder / "policy.yaml").write_text(block("policy"))
        yield Platform(cluster, folder)


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
