"""``python -m gate.conformance``: the client protocol of the public sigstore-conformance suite, answered by the core.

``verify-bundle [--staging] --bundle FILE (--certificate-identity ID --certificate-oidc-issuer URL | --key PEM)
[--trusted-root FILE] (FILE | sha256:DIGEST)``: exit code 0 when the bundle is a good signature of the artifact; 1 with
its reason and one sentence on stderr when it is not; 2 for misuse. Nobody is asked over a network, and nothing is
written: without a trusted root the one that the ``sigstore`` package ships is used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gate.compose import now
from gate.core import limits
from gate.core.artifacts import read_artifact_signature
from gate.core.authorities import Authority, KeyAuthority, KeylessAuthority
from gate.core.errors import ConfigError, MalformedError, UntrustedError
from gate.core.identities import Exact, IdentityRule
from gate.core.keys import parse_public_key
from gate.core.oci import Digest
from gate.core.trust import TrustedRoot, parse_trusted_root
from gate.files import read_bounded
from gate.trust.publicgood import STAGING_URL, URL, read_shipped

ARTIFACT_BYTES = 256 * limits.MIB  # a file that somebody signed; the suite's own have a few bytes

REFUSED, MISUSE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify as ``arguments`` (the process's own when None) say, and return the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        artifact = _artifact(parsed.artifact)
        raw = read_bounded(Path(parsed.bundle), limits.BUNDLE_BYTES, "the bundle")
        authority = _authority(parsed)
        subject = artifact if isinstance(artifact, Digest) else Digest.of(artifact)
        authority.verify(read_artifact_signature(raw, artifact), subject, now())
    except (MalformedError, UntrustedError) as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr)
        return REFUSED
    except ConfigError as error:
        print(f"gate.conformance: {error.message}", file=sys.stderr)
        return MISUSE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gate.conformance", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify-bundle", allow_abbrev=False)
    verify.add_argument("--staging", action="store_true", help="trust Sigstore's staging instance")
    verify.add_argument("--bundle", required=True)
    verify.add_argument("--certificate-identity")
    verify.add_argument("--certificate-oidc-issuer")
    verify.add_argument("--key")
    verify.add_argument("--trusted-root")
    verify.add_argument("artifact", metavar="FILE_OR_DIGEST")
    return parser


def _artifact(text: str) -> bytes | Digest:
    if text.startswith("sha256:"):
        return Digest.parse(text)
    return read_bounded(Path(text), ARTIFACT_BYTES, "the artifact")


def _authority(parsed: argparse.Namespace) -> Authority:
    """Return whom the caller names; a log is required of both, as the suite has it."""
    root = _root(parsed)
    match parsed.certificate_identity, parsed.certificate_oidc_issuer, parsed.key:
        case str(subject), str(issuer), None if subject and issuer:
            return KeylessAuthority("identity", (IdentityRule(subject=Exact(subject), issuer=Exact(issuer)),), root)
        case None, None, str(path):
            key = parse_public_key(read_bounded(Path(path), limits.KEY_BYTES, "the public key"))
            return KeyAuthority("key", key, root, log=True)
        case _:
            raise ConfigError("give --certificate-identity with --certificate-oidc-issuer, or --key")


def _root(parsed: argparse.Namespace) -> TrustedRoot:
    if parsed.trusted_root is None:
        return parse_trusted_root(read_shipped(STAGING_URL if parsed.staging else URL).trusted_root)
    return parse_trusted_root(read_bounded(Path(parsed.trusted_root), limits.TRUST_ROOT_BYTES, "the trusted root"))


if __name__ == "__main__":
    sys.exit(main())
