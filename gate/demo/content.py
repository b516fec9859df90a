"""A config bundle: Kubernetes manifests in one tar.gz layer, as Config Sync's oci-sync unpacks it, pushed with oras."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import oras.provider
from oras.auth.base import AuthBackend

from gate.core.oci import Digest, Reference
from gate.demo.layouts import IMAGE_CONFIG

# Config Sync extracts every layer of the image (kpt-config-sync pkg/oci): a plain image layer, whatever it is called.
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""
_QUOTA = """\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: compute
  namespace: shop
spec:
  hard:
    requests.cpu: "4"
    requests.memory: 8Gi
"""
_NETWORK = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: shop
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
"""
_SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
data:
  currency: EUR
  payment-provider: https://pay.example.com
"""
_BACKDOOR = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: backdoor
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: cluster-admin
subjects:
  - apiGroup: rbac.authorization.k8s.io
    kind: Group
    name: system:unauthenticated
"""

GOOD = {
    "namespace.yaml": _NAMESPACE,
    "network-policy.yaml": _NETWORK,
    "quota.yaml": _QUOTA,
    "settings.yaml": _SETTINGS,
}
TAMPERED = {**GOOD, "backdoor.yaml": _BACKDOOR}


def pack(files: Mapping[str, str]) -> bytes:
    """Return a tar.gz of ``files``; the same files give the same bytes, because nothing of the machine is in them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def push(image: Reference, files: Mapping[str, str], directory: Path) -> Digest:
    """Push ``files`` to ``image`` over plain HTTP and return the digest of its manifest.

    It is ``oras push IMAGE --config config.json:<image config type> bundle.tar.gz:<layer type>``; ``directory`` takes
    the two files.
    """
    bundle, config = directory / "bundle.tar.gz", directory / "config.json"
    bundle.write_bytes(pack(files))
    config.write_bytes(b"{}")
    client = oras.provider.Registry(insecure=True)
    client.session.trust_env = False
    client.auth = _Anonymous()
    response = client.push(
        str(image),
        files=[f"{bundle}:{LAYER_TYPE}"],
        manifest_config=f"{config}:{IMAGE_CONFIG}",
        disable_path_validation=True,
        quiet=True,
    )
    return Digest.parse(response.headers["Docker-Content-Digest"])


class _Anonymous(AuthBackend):  # type: ignore[misc]  # oras carries no types
    """No credentials: the demo neither reads the user's Docker configuration nor starts a credential helper."""

    def load_configs(self, container: object, configs: object = None) -> None:
        """Read nothing."""

    def authenticate_request(
        self, _original: object, headers: dict[str, str], *, refresh: bool = False
    ) -> tuple[dict[str, str], bool]:
        """Change nothing."""
        del refresh
        return headers, False
