"""Every limit on what is read, in one place.

Where no source is named, the number is gate's own: several times what real signatures need, far below what hurts.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

MANIFEST_BYTES = 4 * MIB  # also distribution-spec v1.1, "Pushing Manifests"
INDEX_ENTRIES = 256  # descriptors of one index, or of all pages of a referrers list
CANDIDATES = 64  # candidate manifests fetched for one digest
CANDIDATES_READ = 256  # candidates of one digest that are judged: by a key in 0.2 s, by certificates in 1.3 s, once
CANDIDATES_KEPT = 512  # signatures kept of one digest, where several searches that were cut short each found some
SIGNATURE_LAYERS = 64  # signature layers of one manifest
SIMPLESIGNING_BYTES = 64 * KIB  # one signed payload
BUNDLE_BYTES = 1 * MIB  # one Sigstore bundle
# A value of a JSON document takes 0.3 microseconds to read, so 64 documents of 1 MiB would take seconds by bytes alone.
CANDIDATE_VALUES = 16 * KIB  # values of one candidate manifest; with 64 layers and ten annotations each it has 1,000
BUNDLE_VALUES = 4 * KIB  # values of one bundle, its statement not counted; those of a public one are fewer than 100
STATEMENT_VALUES = 40 * KIB  # values of one signed statement; 1024 subjects with 32 digests each have 35,000
SIGNED_VALUES = 4 * KIB  # values of one signed payload, of an annotation, and of what a log keeps; real ones have 30
ANNOTATIONS_BYTES = 256 * KIB  # names and values of one descriptor's annotations
STATEMENT_SUBJECTS = 1024  # subjects of one in-toto statement
SUBJECT_DIGESTS = 32  # digests of one subject
CHAIN_CERTIFICATES = 8  # certificates beside a signature, or of one authority; public ones have 1 to 3
CERTIFICATE_BYTES = 32 * KIB  # one certificate, DER; public ones have 1 KiB, with an RSA key of 16384 bits 5 KiB
CERTIFICATES_BYTES = 256 * KIB  # a chain in PEM; no more fits into one descriptor's annotations
IDENTITY_BYTES = 2 * KIB  # the subject or the issuer that a certificate names, UTF-8
SCTS = 8  # signed certificate timestamps of one certificate that are looked at; public ones have 1
LOG_ENTRIES = 8  # transparency log entries of one signature
LOG_BODY_BYTES = 256 * KIB  # what a log keeps of one signature, 4 KiB with a certificate; an old one, the whole payload
CHECKPOINT_BYTES = 64 * KIB  # a log's signed checkpoint; one with three cosignatures has 1 KiB
TIMESTAMPS = 8  # RFC 3161 responses of one signature
TIMESTAMP_BYTES = 64 * KIB  # one RFC 3161 response; with a whole chain inside about 8 KiB
TRUST_ROOT_BYTES = 4 * MIB  # a trusted_root.json; the public one has 7 KiB
TRUST_ROOT_ENTRIES = 256  # of one list of a trust root, which keeps what was in use in the past; public ones have 4
EVIDENCE_BYTES = 16 * MIB  # everything fetched for one digest
KEY_BYTES = 64 * KIB  # a PEM file; an RSA key of 16384 bits has 3 KiB
REFERENCE_CHARACTERS = 1024  # host (255) + repository (255) + tag (128) + digest (71), with room
TUF_METADATA_BYTES = 1 * MIB  # one file of TUF metadata; Sigstore's largest has 20 KiB
POLICY_BYTES = 1 * MIB  # a policy file; a ConfigMap cannot hold more
REVIEW_BYTES = (
    8 * MIB
)  # an AdmissionReview: object and oldObject of at most 3 MiB each; Kubernetes refuses larger objects
