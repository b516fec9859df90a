"""Where the attacks take place: the cluster in a stage in which gate holds, or in which one check is switched off."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.e2e.cluster import SETTLE_SECONDS, Cluster
from tests.e2e.cosign import SIGNERS, KeyPair
from tests.e2e.images import Repository
from tests.e2e.kubeapi import Api, Object, must
from tests.e2e.processes import wait_until
from tests.e2e.reconciler import Reconciler
from tests.e2e.syncs import Sync, oci
from tests.e2e.webhook import CONFIGURATIONS, GateServer, plain_http, register, registered_instead
from tests.e2e.workbench import Workbench

WEBHOOK = f"{CONFIGURATIONS}/image-verification-webhook"
TEAM = "acme"  # whose repositories the policy is about; nobody else's are

# gate is asked, and everything that its policy can close is closed.
STRICT = "the strict policy"
PINNED = "the strict policy with requireDigest"
# The checks that can be switched off, each by the stage without it.
UNASKED = "no webhook"
LENIENT = "every image that the key signed, and sources as they come"
CHANGES = "a webhook that is asked about changes alone"
LABELLED = "a webhook that a label exempts from"
NEWER = "a webhook that is asked about one version of the API"

CHART = {"repo": "oci://registry.example.test/charts", "chart": "edge", "version": "1.2.3", "auth": "none"}
EXEMPT = {"gate": "ignore"}
_ONLY_CHANGES = (
    "request.operation != 'UPDATE' || object.spec != oldObject.spec || "
    "object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({})"
)
_UNLABELLED = {"matchExpressions": [{"key": "gate", "operator": "NotIn", "values": ["ignore"]}]}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy file of a strict gate: the key's signatures count for the team's images, less one digest."""

    path: Path
    key: KeyPair
    host: str
    withdrawn: str
    require_digest: bool

    def write(self, *more: Object) -> None:
        """Write the file, with further rules."""
        team = {"name": "team", "match": {"images": [f"{self.host}/{TEAM}/**"]}, "authorities": [vouched(self.key)]}
        withdrawn = {"name": "withdrawn", "match": {"images": ["**"], "digests": [self.withdrawn]}, "static": "fail"}
        policy = {
            "apiVersion": "gate/v1",
            "kind": "Policy",
            "noMatch": "deny",
            "sources": {
                "git": "existing",
                "helmHttp": "deny",
                "helmOci": "deny",
                "requireDigest": self.require_digest,
            },
            "rules": [team, withdrawn, *more],
        }
        written = self.path.with_suffix(".new")  # replaced whole: gate may be reading it
        written.write_text(yaml.safe_dump(policy))
        written.replace(self.path)


def vouched(key: KeyPair) -> Object:
    """Return the authority that a policy makes of a key."""
    return {"name": "key", "key": {"file": str(key.public)}}


@dataclass(frozen=True, slots=True)
class Guard:
    """A gate with a policy of its own."""

    server: GateServer
    rules: Rules


@dataclass(frozen=True, slots=True)
class Arena:
    """The cluster in one stage, and what an attacker finds there."""

    bench: Workbench
    host: str  # a registry into which everybody may push
    key: KeyPair  # whose signatures count
    next_key: KeyPair  # whose signatures count for nothing, until a policy says so
    withdrawn: str  # an image that the key signed and the strict policy denies by its digest
    older: Mapping[str, Reconciler]  # by kind, of an object that synced an unsigned image before gate was asked
    guard: Guard

    @property
    def admin(self) -> Api:
        """Return the API server as whoever may edit every object."""
        return self.bench.cluster.admin

    def repository(self, owner: str = TEAM) -> Repository:
        """Return a repository that is empty."""
        return Repository(self.host, f"{owner}/arena-{next(_numbers)}")

    def push_signed(self, repository: Repository, tag: str | None = None) -> str:
        """Push a new image, sign it with the key that counts, and return its digest."""
        digest = repository.push(tag)
        SIGNERS[0].sign(f"{repository}@{digest}", self.key)
        return digest

    def made(self, kind: str, image: str) -> Reconciler:
        """Create an object on ``image``, which has to be admitted, and return its reconciler."""
        sync = self.bench.sync(kind)
        must(self.admin.create(sync.list_path(), sync.object(oci(image))))
        return self.bench.reconciler(sync)

    def synced(self, kind: str) -> Reconciler:
        """Return the reconciler of a new object that syncs a signed image by its tag."""
        repository = self.repository()
        self.push_signed(repository, "latest")
        reconciler = self.made(kind, f"{repository}:latest")
        must(reconciler.poll())
        return reconciler


@contextlib.contextmanager
def unasked(cluster: Cluster, gate: GateServer) -> Iterator[None]:
    """Take the webhook away, until the context is left."""
    must(cluster.admin.delete(WEBHOOK))
    try:
        wait_until(lambda: _admits_a_chart(cluster), SETTLE_SECONDS, "the API server asks nobody")
        yield
    finally:
        register(cluster, gate)


@contextlib.contextmanager
def guards(folder: Path, key: KeyPair, host: str, withdrawn: str) -> Iterator[dict[str, Guard]]:
    """Yield the gates of the strict stages, running."""
    with contextlib.ExitStack() as stack:
        running = {}
        for stage, name in ((STRICT, "strict"), (PINNED, "pinned")):
            place = folder / name
            place.mkdir()
            rules = Rules(place / "policy.yaml", key, host, withdrawn, stage == PINNED)
            rules.write()
            server = GateServer(place, key, [plain_http(host)], GATE_POLICY=str(rules.path))
            running[stage] = Guard(stack.enter_context(server), rules)
        yield running


@contextlib.contextmanager
def staged(arena: Arena, stage: str, gate: GateServer) -> Iterator[None]:
    """Bring the cluster from ``gate``, which is the lenient one, into the stage until the context is left."""
    cluster = arena.bench.cluster
    with contextlib.ExitStack() as stack:
        if stage == UNASKED:
            stack.enter_context(unasked(cluster, gate))
        elif stage != LENIENT:
            stack.enter_context(registered_instead(cluster, arena.guard.server, gate))
        if stage == CHANGES:
            condition = {"name": "changes", "expression": _ONLY_CHANGES}
            _weaken(cluster, lambda: arena.older["RootSync"].poll().ok, matchConditions=[condition])
        elif stage == LABELLED:
            _weaken(cluster, lambda: _admits_a_chart(cluster, labels=EXEMPT), objectSelector=_UNLABELLED)
        elif stage == NEWER:
            (rule,) = _webhook(cluster)["rules"]
            rules = [rule | {"apiVersions": ["v1beta1"]}]
            _weaken(cluster, lambda: _admits_a_chart(cluster, "v1alpha1"), rules=rules, matchPolicy="Exact")
        yield


def _webhook(cluster: Cluster) -> Object:
    (webhook,) = must(cluster.admin.get(WEBHOOK))["webhooks"]
    return dict(webhook)


def _weaken(cluster: Cluster, weaker: Callable[[], bool], **fields: object) -> None:
    """Set fields of the webhook; whoever registers another gate sets them back."""
    must(cluster.admin.merge(WEBHOOK, {"webhooks": [_webhook(cluster) | fields]}))
    wait_until(weaker, SETTLE_SECONDS, "the API server asks less")


def _admits_a_chart(cluster: Cluster, version: str = "v1beta1", labels: Mapping[str, str] | None = None) -> bool:
    """Return whether an object is admitted that every gate here denies."""
    probe = Sync("RootSync", "arena-probe")
    wanted = probe.object({"sourceType": "helm", "helm": CHART}, version)
    wanted["metadata"]["labels"] = dict(labels or {})
    return cluster.admin.create(f"{probe.list_path(version)}?dryRun=All", wanted).ok
