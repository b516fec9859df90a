"""What an attacker does, one function for each attack: its last answer is an admission where it succeeds."""

from __future__ import annotations

from tests.e2e.arena import EXEMPT, Arena, vouched
from tests.e2e.kubeapi import Answer, Object, must
from tests.e2e.private import RELOAD_SECONDS
from tests.e2e.processes import wait_until
from tests.e2e.reconciler import Reconciler, cluster_admin
from tests.e2e.syncs import CLAIM, GIT, oci

WEB_CHART = {"repo": "https://charts.example.test", "chart": "edge", "version": "1.2.3", "auth": "none"}


def claim(image: str, digest: str) -> Object:
    """Return what is merged into an object to make it claim the digest."""
    return {"metadata": {"annotations": {CLAIM: f"{image}@{digest}"}}}


def bring_the_annotation_along(arena: Arena, kind: str) -> Answer:
    repository, sync = arena.repository(), arena.bench.sync(kind)
    image, unsigned = f"{repository}:latest", repository.push("latest")
    return arena.admin.create(sync.list_path(), sync.object(oci(image), claim=f"{image}@{unsigned}"))


def be_there_before_the_webhook(arena: Arena, kind: str) -> Answer:
    return arena.older[kind].poll()


def copy_a_signature_from_another_image(arena: Arena, kind: str) -> Answer:
    repository, sync = arena.repository(), arena.bench.sync(kind)
    signed, unsigned = arena.push_signed(repository), repository.push()
    repository.copy_signature(signed, unsigned)
    return arena.admin.create(sync.list_path(), sync.object(oci(f"{repository}@{unsigned}")))


def write_a_signed_image_over_an_unsigned_one(arena: Arena, kind: str) -> Answer:
    repository = arena.repository()
    image, _ = f"{repository}:latest", repository.push("latest")
    reconciler = arena.made(kind, image)
    must(arena.admin.merge(reconciler.sync.path(), claim(image, arena.push_signed(repository))))
    return reconciler.poll()


def write_an_unsigned_image_by_hand(arena: Arena, kind: str) -> Answer:
    repository = arena.repository()
    image = f"{repository}:latest"
    reconciler = arena.made(kind, image)
    return arena.admin.merge(reconciler.sync.path(), claim(image, repository.push("latest")))


def change_the_image_under_the_annotation(arena: Arena, kind: str) -> Answer:
    reconciler, repository = arena.synced(kind), arena.repository()
    repository.push("latest")
    must(arena.admin.merge(reconciler.sync.path(), {"spec": oci(f"{repository}:latest")}))
    reconciler.restart()
    return reconciler.poll()


def make_the_reconciler_fetch_what_it_does_not_claim(arena: Arena, kind: str) -> Answer:
    reconciler, unsigned = arena.synced(kind), arena.repository().push()
    return reconciler.announce(unsigned.removeprefix("sha256:"), f"{own_image(reconciler)}@{unsigned}")


def make_the_reconciler_sync_another_signed_image(arena: Arena, kind: str) -> Answer:
    reconciler, repository = arena.synced(kind), arena.repository()
    signed = arena.push_signed(repository)
    return reconciler.announce(signed.removeprefix("sha256:"), f"{repository}:latest@{signed}")


def own_image(reconciler: Reconciler) -> str:
    return str(reconciler.read()["spec"]["oci"]["image"])


def switch_to_git(arena: Arena, kind: str) -> Answer:
    reconciler = arena.synced(kind)
    answer = arena.admin.merge(reconciler.sync.path(), {"spec": GIT | {"oci": None}})
    reconciler.restart()
    return reconciler.poll() if answer.ok else answer


def switch_to_a_web_chart(arena: Arena, kind: str) -> Answer:
    chart = {"sourceType": "helm", "helm": WEB_CHART, "oci": None}
    return arena.admin.merge(arena.synced(kind).sync.path(), {"spec": chart})


def name_a_chart_by_its_version(arena: Arena, kind: str) -> Answer:
    repository, sync = arena.repository(), arena.bench.sync(kind)
    arena.push_signed(repository, "1.2.3")
    place, _, name = str(repository).rpartition("/")
    chart = {"repo": f"oci://{place}", "chart": name, "version": "1.2.3", "auth": "none"}
    answer = arena.admin.create(sync.list_path(), sync.object({"sourceType": "helm", "helm": chart}))
    return arena.bench.reconciler(sync).poll() if answer.ok else answer


def put_a_withdrawn_image_back(arena: Arena, kind: str) -> Answer:
    reconciler = arena.synced(kind)
    answer = arena.admin.merge(reconciler.sync.path(), {"spec": oci(arena.withdrawn)})
    reconciler.restart()
    return reconciler.poll() if answer.ok else answer


def sync_what_the_same_key_signed_for_somebody_else(arena: Arena, kind: str) -> Answer:
    repository, sync = arena.repository("guests"), arena.bench.sync(kind)
    image = f"{repository}@{arena.push_signed(repository)}"
    answer = arena.admin.create(sync.list_path(), sync.object(oci(image)))
    return arena.bench.reconciler(sync).poll() if answer.ok else answer


def keep_what_a_revoked_key_signed(arena: Arena, kind: str) -> Answer:
    reconciler = arena.synced(kind)
    repository = own_image(reconciler).removesuffix(":latest")
    pinned = f"{repository}@{reconciler.read()['status']['sync']['commit'].join(('sha256:', ''))}"
    rule = {"name": "rotated", "match": {"images": [repository]}, "authorities": [vouched(arena.next_key)]}
    arena.guard.rules.write(rule)
    new = arena.bench.sync("RootSync")
    wait_until(
        lambda: not arena.admin.create(f"{new.list_path()}?dryRun=All", new.object(oci(pinned))).ok,
        RELOAD_SECONDS,
        "the key is revoked for what is new",
    )
    return reconciler.poll()


def declare_an_unsigned_object_in_a_synced_source(arena: Arena, kind: str) -> Answer:
    parent, repository, child = arena.synced("RootSync").sync, arena.repository(), arena.bench.sync(kind)
    applies = cluster_admin(arena.bench.cluster, parent)
    return applies.create(child.list_path(), child.object(oci(f"{repository}@{repository.push()}")))


def use_the_older_version_of_the_api(arena: Arena, kind: str) -> Answer:
    repository, sync, version = arena.repository(), arena.bench.sync(kind), "v1alpha1"
    image, unsigned = f"{repository}:latest", repository.push("latest")
    must(arena.admin.create(sync.list_path(version), sync.object(oci(image), version)))
    return arena.bench.reconciler(sync).patch({CLAIM: f"{image}@{unsigned}"}, version)


def ask_for_an_exemption_with_a_label(arena: Arena, kind: str) -> Answer:
    repository, sync = arena.repository(), arena.bench.sync(kind)
    wanted = sync.object(oci(f"{repository}@{repository.push()}"))
    wanted["metadata"]["labels"] = EXEMPT
    answer = arena.admin.create(sync.list_path(), wanted)
    return arena.bench.reconciler(sync).poll() if answer.ok else answer


def have_a_dry_run_approved(arena: Arena, kind: str) -> Answer:
    repository = arena.repository()
    image = f"{repository}:latest"
    reconciler = arena.made(kind, image)
    signed = arena.push_signed(repository, "latest")
    must(arena.admin.merge(f"{reconciler.sync.path()}?dryRun=All", claim(image, signed)))
    repository.push("latest")
    return reconciler.poll()


def name_a_tag(arena: Arena, kind: str) -> Answer:
    repository, sync = arena.repository(), arena.bench.sync(kind)
    arena.push_signed(repository, "latest")
    return arena.admin.create(sync.list_path(), sync.object(oci(f"{repository}:latest")))


def leave_out_what_is_synced(arena: Arena, kind: str) -> Answer:
    sync = arena.bench.sync(kind)
    return arena.admin.create(sync.list_path(), sync.object({"sourceType": "oci"}))
