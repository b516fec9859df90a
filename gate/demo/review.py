"""What Config Sync's reconciler makes the API server send before it syncs an image."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gate.core.oci import Digest

ANNOTATION = "configsync.gke.io/image-to-sync"
NAMESPACE = "config-management-system"
NAME = "root-sync"
RECONCILER = f"system:serviceaccount:{NAMESPACE}:root-reconciler"
_GROUP, _VERSION = "configsync.gke.io", "v1beta1"
_TIME = "2026-01-01T00:00:00Z"  # when the object was made and written to; nothing depends on it
_OBJECT_UID = "8c1d1e6e-3c0a-4f0e-9d6b-5c9f6f3f2a10"
_FIELD_MANAGER = "configsync.gke.io"


def reconciler_review(image: str, digest: Digest, uid: str, *, synced: Digest | None = None) -> bytes:
    """Return the AdmissionReview for the reconciler's patch that announces ``digest`` of ``image``.

    ``image`` is spec.oci.image as written, ``uid`` the request's own, and ``synced`` the digest that was admitted
    before: a patch that was denied leaves no trace in the object.
    """
    kind = {"group": _GROUP, "version": _VERSION, "kind": "RootSync"}
    resource = {"group": _GROUP, "version": _VERSION, "resource": "rootsyncs"}
    request = {
        "uid": uid,
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": NAME,
        "namespace": NAMESPACE,
        "operation": "UPDATE",
        "userInfo": {
            "username": RECONCILER,
            "uid": "6d2a3d5b-52a7-4d8e-8f57-0c1f7f9b1b61",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
        },
        "object": _root_sync(image, digest),
        "oldObject": _root_sync(image, synced),
        "dryRun": False,
        "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": _FIELD_MANAGER},
    }
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(review, indent=1).encode() + b"\n"


def _root_sync(image: str, claimed: Digest | None) -> Mapping[str, object]:
    metadata: dict[str, object] = {
        "name": NAME,
        "namespace": NAMESPACE,
        "uid": _OBJECT_UID,
        "creationTimestamp": _TIME,
        "finalizers": ["configsync.gke.io/reconciler"],
        "generation": 2,
        "resourceVersion": "1024",
        "managedFields": _managed_fields(claimed),
    }
    if claimed is not None:
        metadata["annotations"] = {ANNOTATION: f"{image}@{claimed}"}
    return {
        "apiVersion": f"{_GROUP}/{_VERSION}",
        "kind": "RootSync",
        "metadata": metadata,
        "spec": {
            "oci": {"auth": "none", "image": image, "period": "0s"},
            "sourceFormat": "unstructured",
            "sourceType": "oci",
        },
    }


def _managed_fields(claimed: Digest | None) -> list[Mapping[str, object]]:
    spec: dict[str, object] = {
        "f:spec": {"f:oci": {"f:auth": {}, "f:image": {}}, "f:sourceFormat": {}, "f:sourceType": {}}
    }
    own: dict[str, object] = {"f:finalizers": {'v:"configsync.gke.io/reconciler"': {}}}
    if claimed is not None:
        own["f:annotations"] = {f"f:{ANNOTATION}": {}}
    written = (("kubectl", spec), (_FIELD_MANAGER, {"f:metadata": own, "f:spec": {"f:oci": {"f:period": {}}}}))
    return [
        {
            "apiVersion": f"{_GROUP}/{_VERSION}",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
            "manager": manager,
            "operation": "Update",
            "time": _TIME,
        }
        for manager, fields in written
    ]
