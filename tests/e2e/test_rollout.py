"""docs/rollout.md, run as written from observing to breaking glass against an API server of its own."""

from __future__ import annotations

from pathlib import Path

from gate.settings import Settings
from tests.e2e.installation import NAMESPACE, WEBHOOK, Platform, running_platform
from tests.e2e.toolbox import CHECKOUT

ROLLOUT = (CHECKOUT / "docs" / "rollout.md").read_text()
POLICY_FILE = Path("/etc/gate/policy.yaml")


def policy(platform: Platform) -> str:
    return str(platform.get(f"{NAMESPACE}/configmaps/gate-policy")["data"]["policy.yaml"])


def policy_file(platform: Platform) -> Path | None:
    """Return which file gate takes the policy from in a Pod of the Deployment; None for the key alone.

    The API server keeps a variable that the manifests set to nothing, and leaves its value out.
    """
    (container,) = platform.pod()["containers"]
    return Settings.parse({each["name"]: each.get("value", "") for each in container["env"]}).policy


def test_a_cluster_is_observed_then_enforced_and_its_key_rotated(tmp_path: Path) -> None:
    for name in ("rollout", "cluster"):
        (tmp_path / name).mkdir()
    with running_platform(tmp_path / "rollout", tmp_path / "cluster") as platform:
        platform.run("certificate")
        platform.run("until", ROLLOUT)
        platform.run("observe", ROLLOUT)
        bundle = platform.webhook()["clientConfig"]["caBundle"]
        assert platform.webhook()["failurePolicy"] == "Ignore"
        assert policy_file(platform) == POLICY_FILE
        assert "SET-A-TIME" not in policy(platform)

        platform.run("enforce", ROLLOUT)
        assert platform.webhook()["failurePolicy"] == "Fail"
        assert platform.webhook()["clientConfig"]["caBundle"] == bundle, (
            "applying another overlay keeps what was patched"
        )
        assert policy_file(platform) is None, "the policy with the rollout is not read any more"
        (image,) = (container["image"] for container in platform.pod()["containers"])
        assert image == "registry.example.test/acme/gate:0.1.0"

        platform.run("enforce-policy", ROLLOUT)
        assert policy_file(platform) == POLICY_FILE
        assert policy(platform) == (platform.folder / "policy.yaml").read_text()

        platform.run("two-keys", ROLLOUT)
        assert set(platform.get(f"{NAMESPACE}/secrets/cosign-key")["data"]) == {"cosign.pub", "next.pub"}

        platform.run("take-away", ROLLOUT)
        assert platform.cluster.admin.get(WEBHOOK).status == 404
