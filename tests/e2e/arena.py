"""Where the attacks take place: the cluster in a stage in which gate holds, or in which one check is switched off."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.e2e.cluster import SETTLE_SECONDS, SYSTEM_NAMESPACE, Cluster
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

# Where gate holds: it is asked, and everything that its policy can close is closed.
STRICT = "the strict policy"
PINNED = "the strict policy, with requireDigest"
# Where one check is off: in the policy, ...
UNSIGNED = "the strict policy, and its rule wants no signature"
CHARTS = "the strict policy, and charts are looked up"
LENIENT = "a policy of one key for every image, and git and web charts allowed"
# ... or in the webhook, gate's policy being strict.
UNASKED = "no webhook"
UPDATES = "no webhook on CREATE"
CHANGES = "no webhook on an update that changes nothing"
RECONCILERS = "no webhook on what a reconciler asks for"
IMAGES = "no webhook on what names no image"
LABELLED = "no webhook on what has a label"
NEWER = "no webhook on the older version of the API"

GUARDS: dict[str, Object] = {
    STRICT: {},
    PINNED: {"requireDigest": True},
    UNSIGNED: {},
    CHARTS: {"helmOci": "resolve"},
}
CHART = {"repo": "oci://registry.example.test/charts", "chart": "edge", "version": "1.2.3", "auth": "none"}
EXEMPT = {"gate": "ignore"}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy file of a gate in one stage: the key's signatures count for the team's images, less one digest."""

    path: Path
    key: KeyPair
    host: str
    withdrawn: str
    stage: str

    def write(self, *more: Object) -> None:
        """Write the file, with further rules."""
        demand: Object = {"static": "pass"} if self.stage == UNSIGNED else {"authorities": [vouched(self.key)]}
        team = {"name": "team", "match": {"images": [f"{self.host}/{TEAM}/**"]}} | demand
        withdrawn = {"name": "withdrawn", "match": {"images": ["**"], "digests": [self.withdrawn]}, "static": "fail"}
        policy = {
            "apiVersion": "gate/v1",
            "kind": "Policy",
            "noMatch": "deny",
            "sources": {"git": "existing", "helmHttp": "deny", "helmOci": "deny"} | GUARDS[self.stage],
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
        wait_until(lambda: admits_a_chart(cluster), SETTLE_SECONDS, "the API server asks nobody")
        yield
    finally:
        register(cluster, gate)


@contextlib.contextmanager
def guards(folder: Path, key: KeyPair, host: str, withdrawn: str) -> Iterator[dict[str, Guard]]:
    """Yield the gates that have a policy of their own, by stage, running."""
    running = {}
    for number, stage in enumerate(GUARDS):
        place = folder / f"guard-{number}"
        place.mkdir()
        rules = Rules(place / "policy.yaml", key, host, withdrawn, stage)
        rules.write()
        server = GateServer(place, key, [plain_http(host)], GATE_POLICY=str(rules.path))
        running[stage] = Guard(server, rules)
    servers = [guard.server for guard in running.values()]
    with ThreadPoolExecutor() as pool:  # each takes seconds to start and to stop, most of them waiting
        try:
            list(pool.map(GateServer.start, servers))
            yield running
        finally:
            list(pool.map(GateServer.stop, servers))


@dataclass(frozen=True, slots=True)
class Gap:
    """What a webhook is not asked about."""

    fields: Callable[[Object], Object]  # from the webhook to those of its fields that leave the gap
    open: Callable[[Arena], bool]  # whether the API server has taken it up


def _older_polls(arena: Arena) -> bool:
    return arena.older["RootSync"].poll().ok


def _condition(expression: str) -> Callable[[Object], Object]:
    return lambda _: {"matchConditions": [{"name": "gap", "expression": expression}]}


def _rule(**fields: object) -> Callable[[Object], Object]:
    return lambda webhook: {"matchPolicy": "Exact", "rules": [rule | fields for rule in webhook["rules"]]}


_UNLABELLED = {"matchExpressions": [{"key": "gate", "operator": "NotIn", "values": ["ignore"]}]}
GAPS = {
    UPDATES: Gap(_rule(operations=["UPDATE"]), lambda arena: admits_a_chart(arena.bench.cluster)),
    CHANGES: Gap(
        _condition(
            "request.operation != 'UPDATE' || object.spec != oldObject.spec || "
            "object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({})"
        ),
        _older_polls,
    ),
    RECONCILERS: Gap(
        _condition(f"!request.userInfo.username.startsWith('system:serviceaccount:{SYSTEM_NAMESPACE}:')"),
        _older_polls,
    ),
    IMAGES: Gap(_condition("has(object.spec.oci)"), lambda arena: admits_a_chart(arena.bench.cluster)),
    LABELLED: Gap(
        lambda _: {"objectSelector": _UNLABELLED}, lambda arena: admits_a_chart(arena.bench.cluster, labels=EXEMPT)
    ),
    NEWER: Gap(_rule(apiVersions=["v1beta1"]), lambda arena: admits_a_chart(arena.bench.cluster, "v1alpha1")),
}


@contextlib.contextmanager
def staged(arena: Arena, stage: str, gate: GateServer) -> Iterator[None]:
    """Bring the cluster from ``gate``, which is the lenient one, into the stage until the context is left."""
    cluster = arena.bench.cluster
    with contextlib.ExitStack() as stack:
        if stage == UNASKED:
            stack.enter_context(unasked(cluster, gate))
        elif stage != LENIENT:
            stack.enter_context(registered_instead(cluster, arena.guard.server, gate))
        if stage in GAPS:
            change_webhook(cluster, GAPS[stage].fields)
            wait_until(lambda: GAPS[stage].open(arena), SETTLE_SECONDS, "the API server asks less")
        yield


def change_webhook(cluster: Cluster, fields: Callable[[Object], Object]) -> None:
    """Set fields of the webhook, given what it is; whoever registers a gate sets them back."""
    (webhook,) = must(cluster.admin.get(WEBHOOK))["webhooks"]
    must(cluster.admin.merge(WEBHOOK, {"webhooks": [webhook | fields(webhook)]}))


def admits_a_chart(cluster: Cluster, version: str = "v1beta1", labels: Mapping[str, str] | None = None) -> bool:
    """Return whether an object is admitted that names no image, and that every gate denies."""
    probe = Sync("RootSync", "arena-probe")
    wanted = probe.object({"sourceType": "helm", "helm": CHART}, version)
    wanted["metadata"]["labels"] = dict(labels or {})
    return cluster.admin.create(f"{probe.list_path(version)}?dryRun=All", wanted).ok
