"""kubectl, as the administrator of the cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.kubeapi import Object
from tests.e2e.toolbox import CHECKOUT, tool

SECONDS = 60


class Kubectl:
    """Runs kubectl with a kubeconfig of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Write the kubeconfig into ``folder``."""
        certificate, key = cluster.admin_files
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        server = {"server": cluster.url, "certificate-authority": str(cluster.authority)}
        self._folder = folder
        self._config = folder / "kubeconfig"
        self._config.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "e2e", "cluster": server}],
                    "users": [{"name": "admin", "user": user}],
                    "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}],
                    "current-context": "e2e",
                }
            )
        )

    def run(self, *arguments: str, document: str = "") -> str:
        """Return what kubectl prints; ``document`` is its standard input. A failure of kubectl fails the test."""
        done = self.start(*arguments, document=document)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def start(self, *arguments: str, document: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl to its end, whatever that is; ``variables`` are added to its environment."""
        argv = [str(tool("kubectl")), *arguments]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "KUBECONFIG": str(self._config)}
        return subprocess.run(
            argv,
            input=document,
            env=environ | variables,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def apply(self, objects: list[Object], *flags: str) -> str:
        """Apply the objects, each field of which the API server must know; return what kubectl prints."""
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self.run("apply", "--validate=strict", *flags, "-f", "-", document=document)
