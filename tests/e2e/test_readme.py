"""The README's installation, run as written against an API server of its own."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.e2e.cosign import SIGNERS
from tests.e2e.installation import DEPLOYMENT, NAMESPACE, WEBHOOK, Platform, running_platform
from tests.readme import README, block


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("readme"), tmp_path_factory.mktemp("cluster")) as found:
        yield found


def test_the_installation_of_the_readme_runs_as_written_from_certificate_to_uninstalling(platform: Platform) -> None:
    platform.run("certificate")
    platform.run("install")
    assert base64.b64decode(platform.webhook()["clientConfig"]["caBundle"]) == (platform.folder / "ca.crt").read_bytes()
    assert set(platform.get(f"{NAMESPACE}/secrets/webhook-tls")["data"]) == {"tls.crt", "tls.key"}
    assert set(platform.get(f"{NAMESPACE}/secrets/cosign-key")["data"]) == {"cosign.pub"}

    platform.run("token")
    assert base64.b64decode(platform.get(f"{NAMESPACE}/secrets/registry-token")["data"]["token"]) == b"ya29.token"

    platform.run("configmap")
    assert platform.get(f"{NAMESPACE}/configmaps/gate-policy")["data"]["policy.yaml"] == block("policy")
    (container,) = platform.pod()["containers"]
    assert {"name": "GATE_POLICY", "value": "/etc/gate/policy.yaml"} in container["env"]
    assert platform.webhook()["clientConfig"]["caBundle"], "applying again keeps what was patched in"

    platform.run("uninstall")
    assert platform.cluster.admin.get(WEBHOOK).status == 404
    assert platform.cluster.admin.get(DEPLOYMENT).status == 404


def test_the_readme_signs_as_the_suite_does() -> None:
    signing = [line for line in README.splitlines() if line.startswith("cosign sign ")]
    flags = [{word for word in line.split() if word.startswith("--") and word != "--key"} for line in signing]
    by_name = {signer.name: {"--tlog-upload=false", *signer.flags} for signer in SIGNERS}
    assert flags == [by_name["cosign2-tag"], by_name["cosign3-bundle"]]
