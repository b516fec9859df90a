"""Signing at a private Sigstore with real cosign: without a key, or with a key and a log."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e import cosign
from tests.e2e.cosign import KeyPair
from tests.e2e.sigstore_box import Sigstore


@dataclass(frozen=True, slots=True)
class KeylessSigner:
    """Whoever has an identity token of ``email``."""

    sigstore: Sigstore
    email: str

    def sign(self, image: str) -> None:
        """Sign with cosign 3: a bundle with an entry of Rekor v2 and a timestamp."""
        self._cosign3("sign", "-y", image)

    def attest(self, image: str) -> None:
        """Say something about the image with cosign 3, which does not sign it."""
        predicate = self.sigstore.folder / "predicate.json"
        predicate.write_text('{"built": "by hand"}')
        self._cosign3("attest", "--predicate", str(predicate), "--type", "https://example.test/built/v1", "-y", image)

    def sign_tag_based(self, image: str) -> None:
        """Sign with cosign 2, which does not know Rekor v2: a tag-based signature with a timestamp and no log entry."""
        arguments = [
            *("--fulcio-url", self.sigstore.fulcio, "--oidc-issuer", self.sigstore.issuer.url),
            *("--timestamp-server-url", self.sigstore.timestamps, "--tlog-upload=false", *cosign.PLAIN),
            *("--identity-token", str(self.sigstore.token(self.email)), "-y", image),
        ]
        trusted = {
            "SIGSTORE_ROOT_FILE": str(self.sigstore.fulcio_chain),
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": str(self.sigstore.ct_log_key),
        }
        cosign.run("cosign2", self.sigstore.folder, "sign", *arguments, **trusted)

    def _cosign3(self, command: str, *arguments: str) -> None:
        token = str(self.sigstore.token(self.email))
        cosign.run(
            "cosign3", self.sigstore.folder, command, *_services(self.sigstore), "--identity-token", token, *arguments
        )


def sign_logged(sigstore: Sigstore, image: str, keys: KeyPair) -> None:
    """Sign with a key and cosign 3: a bundle with an entry of Rekor v2 and a timestamp."""
    cosign.run("cosign3", sigstore.folder, "sign", *_services(sigstore), "--key", str(keys.private), "-y", image)


def _services(sigstore: Sigstore) -> tuple[str, ...]:
    where = ("--signing-config", str(sigstore.signing_config), "--trusted-root", str(sigstore.trusted_root))
    return (*where, *cosign.PLAIN)
