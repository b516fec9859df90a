"""gate in something that it cannot tell from a pod: files and a network of its own, made of Linux namespaces.

It finds its ServiceAccount where every pod does, Google's metadata server at the address that it has on GKE, and
Google's registries by name at port 443. Nothing of that touches the machine, and none of it needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.e2e.cluster import RBAC, Cluster
from tests.e2e.cosign import KeyPair
from tests.e2e.inside_pod import LOOPBACK, Plan
from tests.e2e.kubeapi import Object, must
from tests.e2e.processes import Process
from tests.e2e.relay import relay
from tests.e2e.toolbox import CHECKOUT, missing
from tests.e2e.webhook import GateServer, gate_program

MANIFESTS = CHECKOUT / "manifests" / "base"
SERVICE_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
METADATA_ADDRESS = "169.254.169.254"
HTTPS = 443
MEETING_SECONDS = 20
# Who is root already needs no user namespace, which some containers do not allow.
NAMESPACES = ("unshare", "--mount", "--net", *(() if os.geteuid() == 0 else ("--map-root-user",)))


class Pod(GateServer):
    """gate as a pod of ``namespace``, mostly ``gate serve``: reviews reach it at ``port``, as if it were not in one."""

    def __init__(
        self,
        folder: Path,
        keys: KeyPair,
        registries: Sequence[Object],
        *,
        cluster: Cluster,
        namespace: str,
        way: tuple[str, int],
        command: str = "serve",
        **settings: str,
    ) -> None:
        """``way`` is a host that the pod reaches at port 443, and the port of loopback where it is; see GateServer.

        ``command`` is what gate does there: another one than serve is started with launch().
        """
        if shutil.which(NAMESPACES[0]) is None or subprocess.run([*NAMESPACES, "true"], check=False).returncode:
            missing("no Linux namespaces can be made here")
        folder.mkdir()
        api = urlsplit(cluster.url)
        super().__init__(folder, keys, registries, **settings)
        assert api.hostname is not None
        assert api.port is not None
        named = {"KUBERNETES_SERVICE_HOST": api.hostname, "KUBERNETES_SERVICE_PORT": str(api.port)}
        self.environ |= named | {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)}
        self.metadata_log = folder / "metadata.log"
        self._folder = folder
        self._ways = {api.port: (api.hostname, api.port), HTTPS: (LOOPBACK, way[1])}
        hosts = folder / "hosts"
        hosts.write_text(f"{LOOPBACK} localhost {way[0]}\n{METADATA_ADDRESS} metadata.google.internal\n")
        self._plan = Plan(
            addresses=[METADATA_ADDRESS],
            hosts=str(hosts),
            mounts={SERVICE_ACCOUNT: str(service_account(cluster, folder / "service-account", namespace))},
            doors=list(self._ways),
            port=self.port,
            meeting=str(folder / "meeting"),
            beside=[],
            program=[str(gate_program()), command],
        )

    def with_metadata_server(self, *flags: str) -> None:
        """Let there be Google's metadata server from the start; for ``flags`` see tests/fakes/metadata.py."""
        where = ("--address", METADATA_ADDRESS, "--port", "80")
        argv = [sys.executable, "-m", "tests.fakes.metadata", *where, *flags]
        self._plan.beside.append([str(self.metadata_log), *argv])

    def metadata_requests(self) -> list[Object]:
        """Return what the metadata server was asked so far."""
        lines = [json.loads(line) for line in self.metadata_log.read_text().splitlines()]
        return [line for line in lines if "path" in line]

    def launch(self) -> Process:
        """Start the pod, and its doors."""
        plan = self._folder / "plan.json"
        plan.write_text(json.dumps(asdict(self._plan)))
        Path(self._plan.meeting).unlink(missing_ok=True)
        meeting = socket.socket(socket.AF_UNIX)
        meeting.bind(self._plan.meeting)
        meeting.listen()
        meeting.settimeout(MEETING_SECONDS)
        argv = [*NAMESPACES, sys.executable, "-m", "tests.e2e.inside_pod", plan]
        threading.Thread(target=self._meet, args=(meeting,), daemon=True).start()
        return Process(argv, self.log, self.environ)

    def _meet(self, meeting: socket.socket) -> None:
        """Take the ways out of the pod, and give the way in."""
        # A pod that ends before says so itself.
        with contextlib.suppress(OSError), meeting, socket.create_server((LOOPBACK, self.port)) as way_in:
            visitor, _ = meeting.accept()
            with visitor:
                _, ways, _, _ = socket.recv_fds(visitor, len(b"out"), len(self._ways))
                socket.send_fds(visitor, [b"in"], [way_in.fileno()])
            for way, target in zip(ways, self._ways.values(), strict=True):
                relay(socket.socket(fileno=way), target)


def service_account(cluster: Cluster, folder: Path, namespace: str) -> Path:
    """Make the namespace and in it gate's ServiceAccount, as the manifests have them; return what kubelet mounts."""
    cluster.namespace(namespace)
    account, role, binding = (_manifest(name, namespace) for name in ("serviceaccount", "role", "rolebinding"))
    name = account["metadata"]["name"]
    token = cluster.service_account(namespace, name)
    must(cluster.admin.create(f"{RBAC}/namespaces/{namespace}/roles", role))
    must(cluster.admin.create(f"{RBAC}/namespaces/{namespace}/rolebindings", binding))
    folder.mkdir()
    (folder / "token").write_text(token)
    (folder / "namespace").write_text(namespace)
    shutil.copy(cluster.authority, folder / "ca.crt")
    return folder


def _manifest(name: str, namespace: str) -> Object:
    document: Object = yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text())
    document["metadata"]["namespace"] = namespace
    for subject in document.get("subjects", ()):
        subject["namespace"] = namespace
    return document
