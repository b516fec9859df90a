"""The closed list of reasons, with cause and remedy: one list for messages, records, metrics, JSON and docs."""

from __future__ import annotations

from enum import Enum
from typing import Self


def clause(sentence: str) -> str:
    """Return a sentence of this list as a part of another one."""
    return sentence[:1].lower() + sentence[1:].removesuffix(".")


class Reason(Enum):
    """Why a verdict, a rule or a candidate came out as it did.

    ``value`` is the wire form; ``cause`` and ``remedy`` are one sentence each, for people.
    A reason that serves both a subject and a candidate (``malformed``) is one member.
    """

    cause: str
    remedy: str

    def __new__(cls, value: str, cause: str, remedy: str) -> Self:
        """Keep the wire form as the value and the two sentences beside it."""
        member = object.__new__(cls)
        member._value_ = value
        member.cause = cause
        member.remedy = remedy
        return member

    def __str__(self) -> str:
        """Return the wire form."""
        return str(self._value_)  # what ``value`` returns, without its detour

    @property
    def advice(self) -> str:
        """The remedy as the end of a longer sentence."""
        return clause(self.remedy)

    # verified
    VERIFIED = (
        "verified",
        "Every enforced rule that matches found enough valid signatures.",
        "Nothing to do.",
    )

    # exempt: nothing to verify, and why
    STATUS = ("status", "A subresource was written; it cannot change what is synced.", "Nothing to do.")
    DELETE = ("delete", "The object is being deleted.", "Nothing to do.")
    UNCHANGED = (
        "unchanged",
        "Neither the source nor the claimed image changed, and it is not the reconciler's own poll.",
        "Nothing to do.",
    )
    GIT = ("git", "The source is git, which the policy allows.", "Set sources.git to deny to close it.")
    HELM_HTTP = (
        "helm-http",
        "The source is a Helm repository over HTTP, which the policy allows.",
        "Set sources.helmHttp to deny to close it.",
    )
    NO_DIGEST_YET = (
        "no-digest-yet",
        "The image is named by a tag and Config Sync has not reported its digest; the first poll is verified.",
        "Set sources.requireDigest to insist on a digest from the start.",
    )
    CLAIM_REMOVED = (
        "claim-removed",
        "Somebody removed the annotation that names the image; the next poll sets it again and is verified.",
        "Nothing to do.",
    )
    STATIC_PASS = ("static-pass", "A rule admits the image without a signature.", "Remove the rule to close it.")
    EXCEPTION = (
        "exception",
        "A dated exception of the policy covers the image.",
        "Sign the image and remove the exception.",
    )
    WARNED = (
        "warned",
        "A rule in warn mode is not satisfied.",
        "Sign the image before the rule is enforced.",
    )
    ROLLOUT = ("rollout", "The policy's rollout turns denials into warnings.", "Sign the image before it ends.")
    NO_RULE_ALLOWED = (
        "no-rule-allowed",
        "No enforce or warn rule matches the image, and noMatch admits that.",
        "Write a rule for the image, or set noMatch to deny.",
    )
    FAILED_OPEN = (
        "failed-open",
        "The registry could not be asked, and the rule says onUnavailable: allow.",
        "Restore the registry; set onUnavailable to deny to close it.",
    )

    # denied
    NO_SIGNATURE = (
        "no-signature",
        "The registry holds no signature for the digest (attestations are not signatures).",
        "Sign the digest, not a tag, with a key of the policy.",
    )
    UNTRUSTED = (
        "untrusted",
        "Signatures were found for the digest, and no authority of the rule vouches for any of them.",
        "Sign the digest with a key of the policy; gate verify IMAGE shows why each one was refused.",
    )
    NOT_FOUND = (
        "not-found",
        "The registry answered that the image does not exist.",
        "Push the image, or correct the reference.",
    )
    NO_RULE = (
        "no-rule",
        "No enforce or warn rule of the policy matches the image.",
        "Add a rule whose match covers the image, or sync another image.",
    )
    SOURCE_DENIED = (
        "source-denied",
        "The policy does not allow this type of source.",
        "Use an OCI source, or change sources in the policy.",
    )
    DIGEST_REQUIRED = (
        "digest-required",
        "The policy wants spec.oci.image to carry a digest.",
        "Append @sha256:<digest> to spec.oci.image.",
    )
    SOURCE_MISMATCH = (
        "source-mismatch",
        "The annotation names another image than the object's source.",
        "Remove the annotation; Config Sync sets it again.",
    )
    NO_ANNOTATION = (
        "no-annotation",
        "The reconciler asked to sync an image without naming its digest.",
        "Upgrade Config Sync to 1.20 or later, which reports the digest; if it is, wait for its next poll.",
    )
    HELM_OCI = (
        "helm-oci",
        "The source is a Helm chart in an OCI registry, which names a version and not content.",
        "Package the rendered configuration as an OCI source and sign that.",
    )
    MALFORMED = (
        "malformed",
        "A document cannot be read as what it should be.",
        "Correct what the message names.",
    )
    STATIC_FAIL = (
        "static-fail",
        "A rule of the policy refuses this image by name or digest.",
        "Sync another digest; the rule's message says why this one is refused.",
    )
    NOT_ENOUGH_SIGNERS = (
        "not-enough-signers",
        "Fewer distinct signers than the rule requires vouch for the digest.",
        "Add the missing signatures to the same digest.",
    )

    # unavailable: could not tell
    REGISTRY_UNREACHABLE = (
        "registry-unreachable",
        "No connection to the registry could be made or kept.",
        "Check the registry's name, DNS, the network policy and its certificate.",
    )
    REGISTRY_UNAUTHORIZED = (
        "registry-unauthorized",
        "The registry refused gate's credentials (401 or 403).",
        "Give gate's identity read access to the repository, or renew its token.",
    )
    REGISTRY_ERROR = (
        "registry-error",
        "The registry answered with an error or with something that is not an answer.",
        "Look at the registry's own log.",
    )
    REGISTRY_LIMITED = (
        "registry-limited",
        "The registry limits the rate of requests (429).",
        "Wait, or raise the registry's quota.",
    )
    REGISTRY_ADDRESS = (
        "registry-address",
        "The registry, a redirect or a token realm points to an address that gate does not contact.",
        "List the host in GATE_REGISTRIES if it is meant to be asked.",
    )
    LAYOUT_ERROR = (
        "layout-error",
        "The OCI layout on disk lacks bytes that it lists, or holds others in their place, or cannot be read.",
        "Copy the image and its signatures into the layout again.",
    )
    LIMIT = (
        "limit",
        "A document or a list is larger than gate reads.",
        "Remove what is not needed from the image's signatures.",
    )
    DEADLINE = ("deadline", "The answers did not come within the review's deadline.", "Try again; check the registry.")
    TRUST_ROOT = ("trust-root", "The trust root that the rule needs is not loaded.", "See gate's log and readiness.")
    BUSY = ("busy", "gate answers too many reviews at this moment.", "Config Sync asks again by itself.")
    INTERNAL = ("internal", "A bug in gate.", "Find the id of the message in gate's log and report it.")

    # candidate: one signature that was found
    WRONG_DIGEST = (
        "wrong-digest",
        "The signature is valid, for another digest.",
        "Sign this digest; a signature cannot be copied from another image.",
    )
    BAD_SIGNATURE = (
        "bad-signature",
        "The signature does not verify with the key: another key made it, or it was altered.",
        "Sign with the key that the rule names.",
    )
    UNSUPPORTED = (
        "unsupported",
        "The signature is of a kind that gate does not verify.",
        "Sign with cosign, with an ECDSA P-256 key if in doubt.",
    )
    ATTESTATION = (
        "attestation",
        "The candidate is an attestation, which says something about the image but does not sign it.",
        "Sign the digest with cosign sign.",
    )
    IDENTITY = (
        "identity",
        "The certificate's identity is not one that the rule names.",
        "Sign as an identity of the rule.",
    )
    CERTIFICATE = (
        "certificate",
        "The certificate is not acceptable here.",
        "Sign with what the rule names: a key, or a certificate of its trust root.",
    )
    NO_SCT = (
        "no-sct",
        "The certificate carries no valid signed certificate timestamp.",
        "Use a certificate authority that logs its certificates.",
    )
    NO_LOG_ENTRY = (
        "no-log-entry",
        "The rule requires a transparency log entry and the signature has none.",
        "Sign with the transparency log enabled.",
    )
    LOG_ENTRY = (
        "log-entry",
        "The transparency log entry does not verify or belongs to another signature.",
        "Sign again.",
    )
    NO_TIME = ("no-time", "Nothing proves when the signature was made.", "Sign with a log or a timestamp authority.")
    TIMESTAMP = (
        "timestamp",
        "The timestamp does not verify.",
        "Sign again with a timestamp authority of the trust root.",
    )
    REFERENCE = (
        "reference",
        "The signed payload names another repository and the rule compares it.",
        "Sign the image in the repository it is synced from.",
    )
    VERIFIERS_DIFFER = (
        "verifiers-differ",
        "The two verifiers do not agree on the signature.",
        "Report it with the bundle.",
    )


# The reasons of an Unavailable verdict: nothing is known then, whatever the answer was.
UNAVAILABLE = frozenset(
    {
        *(Reason.REGISTRY_UNREACHABLE, Reason.REGISTRY_UNAUTHORIZED, Reason.REGISTRY_ERROR, Reason.REGISTRY_LIMITED),
        *(Reason.REGISTRY_ADDRESS, Reason.LAYOUT_ERROR, Reason.LIMIT, Reason.DEADLINE, Reason.TRUST_ROOT),
        *(Reason.BUSY, Reason.INTERNAL),
    }
)

# Written-down choices that end one day, or that nobody means to be used every day: what syncs by them is not verified.
LENIENT = frozenset({Reason.EXCEPTION, Reason.ROLLOUT, Reason.WARNED, Reason.FAILED_OPEN})
