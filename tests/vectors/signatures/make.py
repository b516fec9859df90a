"""Makes the signature vectors: for each case what lies beside an image, a policy, and what is to be said about it.

Run ``python -m tests.vectors.signatures.make`` in the project's directory. Keys and signatures are new every time: what
stays is what each case expects, and that is written down here. A case is a directory, whose name ends in ``_admit`` or
``_deny``:

``policy.yaml``
    with the trust root ``trusted_root.json``, and ``release.pub`` where a key is trusted
``<n>-manifest.json`` and ``<n>-document.json``
    the manifests that hold signatures, and of each the one blob that its layer names
``expected.json``
    the image's digest, the verdict with its reason, and the reason of each candidate in that order
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import yaml
from cryptography import x509

from gate.core.manifests import Manifest, parse_manifest
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.trust import Window
from gate.demo import layouts
from gate.demo.store import Store
from tests.fakes.sigstore import (
    ISSUER,
    NOW,
    SUBJECT,
    Authority,
    Holder,
    Layout,
    Made,
    Rekor,
    Sigstore,
    bodies,
    usual_body,
)
from tests.fakes.sigstore.authority import other_name
from tests.fakes.sigstore.keys import named_key

HERE = Path(__file__).parent
REPOSITORY = "team/config"
IMAGE, ANOTHER_IMAGE = Digest.of(b"the bytes of an image manifest"), Digest.of(b"another image")

BOX = Sigstore.create()
FOREIGN = Sigstore.create(name="foreign")
RELEASE = named_key("release")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

Document = dict[str, object]

KEYLESS: Document = {
    "name": "dev",
    "keyless": {"identities": [{"issuer": ISSUER, "subject": SUBJECT}]},
    "trustRoot": {"file": "trusted_root.json"},
}
STAMPED: Document = {**KEYLESS, "transparencyLog": "ignore", "signedTimestamp": "required"}
ANYBODY: Document = {
    **KEYLESS,
    "name": "anybody",
    "keyless": {"identities": [{"issuerRegExp": "https://.*", "subjectRegExp": ".*"}]},
}
KEY: Document = {"name": "release", "key": {"file": "release.pub"}}
LOGGED_KEY: Document = {**KEY, "transparencyLog": "required", "trustRoot": {"file": "trusted_root.json"}}


@dataclass(frozen=True)
class Case:
    """``reasons`` are the candidates'; ``verdict`` is the whole one's, verified where it is the only reason of all."""

    name: str
    signatures: tuple[Made, ...]
    reasons: tuple[Reason, ...]
    verdict: Reason = Reason.VERIFIED
    authorities: tuple[Document, ...] = (KEYLESS,)
    count: int = 1
    root: bytes = BOX.trusted_root()

    @property
    def directory(self) -> str:
        """Name and decision."""
        return f"{self.name}_{'admit' if self.verdict is Reason.VERIFIED else 'deny'}"

    @property
    def policy(self) -> Document:
        """The policy, which is about every image."""
        rule: Document = {"name": "signed", "match": {"images": ["**"]}, "require": {"count": self.count}}
        return {
            "apiVersion": "gate/v1",
            "kind": "Policy",
            "noMatch": "deny",
            "sources": {"git": "deny", "helmHttp": "deny", "helmOci": "deny"},
            "rules": [{**rule, "authorities": list(self.authorities)}],
        }


def admit(name: str, *signatures: Made, authority: Document = KEYLESS, root: bytes | None = None) -> Case:
    """Return a case that verifies."""
    reasons = (Reason.VERIFIED,) * len(signatures)
    return Case(name, signatures, reasons, authorities=(authority,), root=root or BOX.trusted_root())


def deny(name: str, reason: Reason, made: Made, *, authority: Document = KEYLESS, root: bytes | None = None) -> Case:
    """Return a case of one signature that is refused for this reason."""
    return Case(name, (made,), (reason,), Reason.UNTRUSTED, authorities=(authority,), root=root or BOX.trusted_root())


def dev(layout: Layout, **changes: object) -> Made:
    """Return a signature of the developer."""
    return BOX.sign(layout, BOX.enroll(), IMAGE, **changes)


def logged_as(made: Made, claimed: Made) -> Made:
    """Return the signature with an honest entry of the log for another claim."""
    return replace(made, entries=(BOX.rekor.append(usual_body(BOX.rekor, made.layout)(claimed), NOW),))


def _good() -> Iterator[Case]:
    for layout in ("tag", "bundle"):
        for kind in ("p256", "p384", "p521", "rsa2048", "ed25519"):
            made = BOX.sign(layout, BOX.enroll(named_key("holder", kind)), IMAGE)
            yield admit(f"{layout}-{kind}", made)
        yield admit(f"{layout}-log-and-timestamp", dev(layout, stamped=True))
        yield admit(f"{layout}-timestamp-without-log", dev(layout, log=None), authority=STAMPED)
        yield admit(f"{layout}-key", BOX.sign(layout, Holder(RELEASE), IMAGE, log=None, stamped=False), authority=KEY)
        yield admit(f"{layout}-logged-key", BOX.sign(layout, Holder(RELEASE), IMAGE), authority=LOGGED_KEY)
    yield admit("bundle-intoto-entry", dev("bundle", describe=bodies.intoto))
    yield admit("bundle-rekor2", dev("bundle", log=BOX.rekor2))
    log = Rekor.v2("ecdsa", BOX.rekor2.window, "p256")
    yield admit("bundle-rekor2-ecdsa", dev("bundle", log=log), root=BOX.trusted_root(logs=[log]))
    logged = BOX.sign("bundle", Holder(RELEASE), IMAGE, log=BOX.rekor2, stamped=False)
    yield admit("bundle-rekor2-logged-key", logged, authority=LOGGED_KEY)


def _identities() -> Iterator[Case]:
    for kind, name in {
        "uri": x509.UniformResourceIdentifier("https://example.com/workflow@refs/heads/main"),
        "dns": x509.DNSName("build.example.com"),
        "other-name": other_name("builder"),
    }.items():
        yield admit(f"san-{kind}", BOX.sign("bundle", BOX.enroll(names=[name]), IMAGE), authority=ANYBODY)
    for what, changes in {
        "subject": {"subject": "eve@example.com"},
        "issuer": {"issuer": "https://evil.example"},
        "suffix": {"subject": f"{SUBJECT}.evil.example"},
    }.items():
        yield deny(f"identity-other-{what}", Reason.IDENTITY, BOX.sign("tag", BOX.enroll(**changes), IMAGE))
    for what, changes in {
        "issuers-disagree": {"issuer_v1": b"https://evil.example"},
        "no-name": {"names": []},
        "two-names": {"names": [x509.RFC822Name(SUBJECT), x509.RFC822Name("eve@example.com")]},
        "not-for-code": {"purposes": [x509.ExtendedKeyUsageOID.SERVER_AUTH]},
        "no-key-usage": {"usage": None},
        "an-authority": {"constraints": x509.BasicConstraints(ca=True, path_length=None)},
    }.items():
        yield deny(f"certificate-{what}", Reason.CERTIFICATE, BOX.sign("bundle", BOX.enroll(**changes), IMAGE))


def _issuers() -> Iterator[Case]:
    foreign = {part: replace(BOX, **{part: getattr(FOREIGN, part)}) for part in ("ca", "ct", "rekor", "tsa")}
    for part, reason in {"ca": Reason.CERTIFICATE, "ct": Reason.NO_SCT, "rekor": Reason.LOG_ENTRY}.items():
        box = foreign[part]
        for layout in ("tag", "bundle"):
            yield deny(f"foreign-{part}-{layout}", reason, box.sign(layout, box.enroll(), IMAGE))
    box = foreign["tsa"]
    yield deny("foreign-tsa", Reason.TIMESTAMP, box.sign("bundle", box.enroll(), IMAGE, log=box.rekor2))
    yield deny("no-sct", Reason.NO_SCT, BOX.sign("bundle", BOX.enroll(logs=[]), IMAGE))
    other = BOX.enroll(promised_tbs=b"another certificate")
    yield deny("sct-of-another-certificate", Reason.NO_SCT, BOX.sign("bundle", other, IMAGE))
    without = BOX.sign("bundle", BOX.enroll(logs=[]), IMAGE)
    yield admit("no-sct-without-ct-logs", without, root=BOX.trusted_root(ct_logs=[]))
    lasting, past = Window(NOW - 365 * DAY, NOW + 365 * DAY), Window(NOW - 365 * DAY, NOW - DAY)
    for which in ("root", "intermediate", "window"):
        ca = Authority.create(
            f"expired {which}",
            past if which == "window" else lasting,
            root=past if which == "root" else lasting,
            intermediate=past if which == "intermediate" else lasting,
        )
        box = replace(BOX, ca=ca)
        made = box.sign("bundle", box.enroll(), IMAGE)
        yield deny(f"expired-ca-{which}", Reason.CERTIFICATE, made, root=box.trusted_root())


def _times() -> Iterator[Case]:
    for layout in ("tag", "bundle"):
        late = dev(layout, at=NOW + HOUR)
        yield deny(f"late-{layout}", Reason.CERTIFICATE, late)
        yield deny(f"late-time-altered-{layout}", Reason.LOG_ENTRY, late.with_entry(integrated_at=int(NOW.timestamp())))
        early = dev(layout, log=None, at=NOW - HOUR)
        yield deny(f"early-timestamp-{layout}", Reason.CERTIFICATE, early, authority=STAMPED)
    yield deny("time-without-promise", Reason.NO_TIME, dev("bundle").with_entry(promise=None))
    untimed = replace(dev("bundle", log=BOX.rekor2), timestamps=())
    yield deny("rekor2-without-timestamp", Reason.NO_TIME, untimed)
    invented = untimed.with_entry(integrated_at=int(NOW.timestamp()))
    yield deny("rekor2-with-invented-time", Reason.NO_TIME, invented)
    over = replace(dev("bundle", log=BOX.rekor2), timestamps=(BOX.tsa.stamp(b"another signature", NOW),))
    yield deny("timestamp-of-another-signature", Reason.TIMESTAMP, over)
    closed = replace(BOX.tsa, window=Window(NOW - 30 * DAY, NOW - DAY))
    root = BOX.trusted_root(timestamp_authorities=[closed])
    yield deny("timestamp-after-tsa-window", Reason.TIMESTAMP, dev("bundle", log=BOX.rekor2), root=root)
    root = BOX.trusted_root(logs=[replace(BOX.rekor, window=closed.window)])
    yield deny("entry-after-log-window", Reason.LOG_ENTRY, dev("bundle"), root=root)
    unpromised = dev("bundle", stamped=True).with_entry(promise=None)
    yield deny("entry-after-log-window-unpromised", Reason.LOG_ENTRY, unpromised, root=root)
    lied = unpromised.with_entry(integrated_at=int((NOW - 2 * DAY).timestamp()))
    yield deny("entry-after-log-window-invented-time", Reason.LOG_ENTRY, lied, root=root)
    root = BOX.trusted_root(logs=[replace(BOX.rekor2, window=closed.window)])
    yield deny("entry-after-log-window-rekor2", Reason.LOG_ENTRY, dev("bundle", log=BOX.rekor2), root=root)
    logged = BOX.sign("bundle", Holder(RELEASE), IMAGE, log=BOX.rekor2, stamped=False)
    yield deny("entry-after-log-window-key", Reason.LOG_ENTRY, logged, authority=LOGGED_KEY, root=root)


def _entries() -> Iterator[Case]:
    for layout in ("tag", "bundle"):
        made, other = (BOX.sign(layout, BOX.enroll(), IMAGE) for _ in range(2))
        elsewhere = BOX.sign(layout, BOX.enroll(named_key("eve")), ANOTHER_IMAGE)
        yield deny(f"entry-swapped-{layout}", Reason.LOG_ENTRY, replace(made, entries=other.entries))
        yield deny(
            f"entry-promise-swapped-{layout}", Reason.LOG_ENTRY, made.with_entry(promise=other.entries[0].promise)
        )
        yield deny(f"entry-index-altered-{layout}", Reason.LOG_ENTRY, made.with_entry(index=made.entries[0].index + 1))
        for part in ("signature", "content", "holder"):
            claimed = replace(made, **{part: getattr(elsewhere, part)})
            yield deny(f"entry-other-{part}-{layout}", Reason.LOG_ENTRY, logged_as(made, claimed))
        missing = replace(dev(layout, stamped=True), entries=())
        yield deny(f"entry-missing-{layout}", Reason.NO_LOG_ENTRY, missing)
        signed = BOX.sign(layout, Holder(RELEASE), IMAGE)
        stolen = BOX.sign(layout, Holder(RELEASE), ANOTHER_IMAGE)
        swapped = replace(signed, entries=stolen.entries)
        yield deny(f"entry-swapped-logged-key-{layout}", Reason.LOG_ENTRY, swapped, authority=LOGGED_KEY)


def _proofs() -> Iterator[Case]:
    for name in ("rekor", "rekor2"):
        log, foreign = getattr(BOX, name), getattr(FOREIGN, name)
        made = dev("bundle", log=log)
        proof = made.entries[0].proof
        assert proof is not None
        said = {"size": proof.size, "root": proof.root}
        for what, wrong in {
            "missing": None,
            "index": replace(proof, index=proof.index - 1),
            "index-beyond": replace(proof, index=proof.size),
            "size": replace(proof, size=proof.size + 1),
            "shorter": replace(proof, hashes=proof.hashes[:-1]),
            "longer": replace(proof, hashes=(*proof.hashes, bytes(32))),
            "checkpoint-of-another-tree": replace(proof, checkpoint=log.checkpoint(size=proof.size, root=bytes(32))),
            "checkpoint-foreign-key": replace(proof, checkpoint=log.checkpoint(**said, key=foreign.key)),
        }.items():
            yield deny(f"proof-{what}-{name}", Reason.LOG_ENTRY, made.with_entry(proof=wrong))
        unsigned = replace(proof, checkpoint=log.checkpoint(**said, signatures=[]))
        yield deny(f"proof-checkpoint-unsigned-{name}", Reason.MALFORMED, made.with_entry(proof=unsigned))


def _claims() -> Iterator[Case]:
    for layout in ("tag", "bundle"):
        other = BOX.sign(layout, BOX.enroll(), ANOTHER_IMAGE)
        yield deny(f"another-image-{layout}", Reason.WRONG_DIGEST, other)
        made = dev(layout)
        altered = replace(made, content=other.content)
        yield deny(f"altered-content-{layout}", Reason.BAD_SIGNATURE, altered)
        key = Holder(named_key("not the release"))
        yield deny(f"another-key-{layout}", Reason.BAD_SIGNATURE, BOX.sign(layout, key, IMAGE), authority=KEY)
    statement = layouts.statement([IMAGE], "https://slsa.dev/provenance/v1", layouts.STATEMENT_TYPE, {}, {})
    attested = dev("bundle", content=statement)
    yield Case("attestation", (attested,), (Reason.ATTESTATION,), Reason.NO_SIGNATURE)
    twice = layouts.payload(IMAGE, "r").replace(b'"type"', b'"type":"x","type"')
    yield deny("payload-with-two-meanings", Reason.MALFORMED, dev("tag", content=twice))


def _several() -> Iterator[Case]:
    first, second = (BOX.sign("bundle", BOX.enroll(named_key(name)), IMAGE) for name in ("one", "two"))
    both = (KEYLESS, ANYBODY)
    two = (Reason.VERIFIED, Reason.VERIFIED)
    yield Case("one-identity-twice", (first, second), two, Reason.NOT_ENOUGH_SIGNERS, both, 2)
    eve = BOX.sign("tag", BOX.enroll(subject="eve@example.com"), IMAGE)
    yield Case("two-identities", (first, eve), two, authorities=both, count=2)
    spam = [FOREIGN.sign("bundle", FOREIGN.enroll(), IMAGE) for _ in range(3)]
    reasons = (*(Reason.LOG_ENTRY for _ in spam), Reason.VERIFIED)  # the first that is looked at
    oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24")
    feature = x509.UnrecognizedExtension(oid, bytes.fromhex("3003020163"))
    odd = BOX.enroll(extensions=[x509.Extension(oid, False, feature)])  # noqa: FBT003
    beside = (BOX.sign("bundle", odd, IMAGE), dev("tag"))
    yield Case("odd-certificate-beside-a-good-tag", beside, (Reason.MALFORMED, Reason.VERIFIED))
    yield Case("foreign-bundles-beside-a-good-tag", (*spam, dev("tag")), reasons)


def cases() -> Iterator[Case]:
    """Every case once."""
    for group in (_good, _identities, _issuers, _times, _entries, _proofs, _claims, _several):
        yield from group()


def files(case: Case) -> dict[str, bytes]:
    """Every file of the case, by its name."""
    # Through JSON, so that a value that is used twice is written twice: a policy has no aliases.
    policy = yaml.safe_dump(json.loads(json.dumps(case.policy)), sort_keys=False, width=120).encode()
    made = {"policy.yaml": policy, "trusted_root.json": case.root + b"\n"}
    if any("key" in authority for authority in case.authorities):
        made["release.pub"] = RELEASE.public_pem
    for number, signature in enumerate(case.signatures, 1):
        manifest, document = _stored(signature)
        made[f"{number}-manifest.json"], made[f"{number}-document.json"] = manifest, document
    expected = {
        "digest": str(IMAGE),
        "verdict": "verified" if case.verdict is Reason.VERIFIED else "denied",
        "reason": str(case.verdict),
        "candidates": [str(reason) for reason in case.reasons],
    }
    return {**made, "expected.json": json.dumps(expected, indent=1).encode() + b"\n"}


def _stored(signature: Made) -> tuple[bytes, bytes]:
    """Return the manifest and the blob of a signature, as they are stored."""
    store = Store()
    pushed = store.manifest(REPOSITORY, signature.push(store, REPOSITORY, IMAGE))
    assert pushed is not None
    manifest = parse_manifest(*pushed)
    assert isinstance(manifest, Manifest)
    document = store.blob(REPOSITORY, manifest.layers[0].digest)
    assert document is not None
    return pushed[0], document


def main() -> None:
    """Replace the vectors beside this file."""
    for directory in HERE.iterdir():
        if directory.is_dir() and directory.name.rpartition("_")[2] in {"admit", "deny"}:
            shutil.rmtree(directory)
    for case in cases():
        (HERE / case.directory).mkdir()
        for name, data in files(case).items():
            (HERE / case.directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
