"""A private Sigstore on loopback: real Fulcio, real Rekor on files, the real timestamp server, and what they need."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.e2e import cosign
from tests.e2e.pki import LEEWAY, Holder
from tests.e2e.processes import Process, free_port
from tests.e2e.sigstore_parts import AUDIENCE, Issuer, public_key, running_ct_log, running_issuer
from tests.e2e.toolbox import tool

READY_SECONDS = 30  # measured: all three together in 1 s on 2 cores
PASSWORD = "x"  # Fulcio reads no key that is not encrypted
HOST = "127.0.0.1"  # clients expect the log's checkpoints to begin with the host of its URL, without the port


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _chain(name: str, purpose: object, *, ca: bool) -> tuple[Holder, Holder]:
    root = Holder.new(f"{name} root", ca=True)
    return Holder.new(name, root, ca=ca, purpose=purpose), root


@dataclass(frozen=True, slots=True)
class Keys:
    """What the services sign with: chains, whose root is last, and keys. Where nothing is given, it is new."""

    fulcio: tuple[Holder, ...] = field(
        default_factory=lambda: _chain("fulcio", ExtendedKeyUsageOID.CODE_SIGNING, ca=True), repr=False
    )
    timestamps: tuple[Holder, ...] = field(
        default_factory=lambda: _chain("timestamps", ExtendedKeyUsageOID.TIME_STAMPING, ca=False), repr=False
    )
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=_key, repr=False)
    ct_log: ec.EllipticCurvePrivateKey = field(default_factory=_key, repr=False)

    def write_public(self, folder: Path) -> None:
        """Write what belongs into a trust root: two chains and two keys, in PEM."""
        folder.mkdir()
        for name, chain in (("fulcio", self.fulcio), ("timestamps", self.timestamps)):
            (folder / f"{name}.pem").write_bytes(b"".join(each.pem for each in chain))
        for name, key in (("rekor", self.rekor), ("ct_log", self.ct_log)):
            (folder / f"{name}.pub").write_bytes(public_key(key, serialization.Encoding.PEM))


@dataclass(frozen=True, slots=True)
class Sigstore:
    """The running services by their URLs, and the files that cosign and gate are given."""

    folder: Path
    keys: Keys
    issuer: Issuer
    ct_log: str
    fulcio: str
    rekor: str
    timestamps: str

    def __post_init__(self) -> None:
        """Write what clients need."""
        self.trust("trusted", self.keys)
        self._create_signing_config()

    @property
    def trusted_root(self) -> Path:
        """Return the trust root in which all of this Sigstore, and nothing else, is trusted."""
        return self.folder / "trusted" / "trusted_root.json"

    @property
    def ct_log_key(self) -> Path:
        """Return the public key of the CT log."""
        return self.folder / "trusted" / "ct_log.pub"

    @property
    def fulcio_chain(self) -> Path:
        """Return the certificates of Fulcio."""
        return self.folder / "trusted" / "fulcio.pem"

    @property
    def signing_config(self) -> Path:
        """Return what tells cosign 3 where everything is."""
        return self.folder / "signing_config.json"

    def token(self, email: str) -> Path:
        """Return a file with an identity token of ``email``."""
        path = self.folder / f"{email}.jwt"
        path.write_text(self.issuer.token(email))
        return path

    def trust(self, name: str, keys: Keys) -> Path:
        """Return a new trust root in the folder ``name``, as cosign writes it, that trusts ``keys``."""
        keys.write_public(self.folder / name)
        services = {
            "fulcio": f"{self.fulcio},certificate-chain=fulcio.pem",
            "rekor": f"{self.rekor},public-key=rekor.pub,origin={HOST}",
            "ctfe": f"{self.ct_log},public-key=ct_log.pub",
            "tsa": f"{self.timestamps},certificate-chain=timestamps.pem",
        }
        arguments = [f"--{flag}=url={service},start-time={_start()}" for flag, service in services.items()]
        cosign.run("cosign3", self.folder / name, "trusted-root", "create", *arguments, "--out", "trusted_root.json")
        return self.folder / name / "trusted_root.json"

    def _create_signing_config(self) -> None:
        services = {
            "fulcio": f"{self.fulcio},api-version=1",
            "rekor": f"{self.rekor},api-version=2",
            "oidc-provider": f"{self.issuer.url},api-version=1",
            "tsa": f"{self.timestamps},api-version=1",
        }
        arguments = [f"--{flag}=url={service},start-time={_start()},operator=e2e" for flag, service in services.items()]
        arguments += ["--rekor-config=ANY", "--tsa-config=ANY", "--out", self.signing_config.name]
        cosign.run("cosign3", self.folder, "signing-config", "create", *arguments)


def _start() -> str:
    return f"{dt.datetime.now(dt.UTC) - LEEWAY:%Y-%m-%dT%H:%M:%SZ}"


@contextlib.contextmanager
def running_sigstore(parent: Path) -> Iterator[Sigstore]:
    """Yield a Sigstore that trusts whoever asks for a token; its logs and files stay in a folder of ``parent``."""
    folder, keys = parent / "sigstore", Keys()
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(running_issuer())
        ct_log = stack.enter_context(running_ct_log(keys.ct_log))
        keys.write_public(folder / "services")
        fulcio = stack.enter_context(_running_fulcio(folder, keys, issuer.url, ct_log))
        rekor = stack.enter_context(_running_rekor(folder, keys))
        timestamps = stack.enter_context(_running_timestamps(folder, keys))
        yield Sigstore(folder, keys, issuer, ct_log, fulcio, rekor, timestamps)


@contextlib.contextmanager
def _running_fulcio(folder: Path, keys: Keys, issuer: str, ct_log: str) -> Iterator[str]:
    config = folder / "fulcio.yaml"
    entry = {"issuer-url": issuer, "client-id": AUDIENCE, "type": "email"}
    config.write_text(yaml.safe_dump({"oidc-issuers": {issuer: entry}}))
    port = free_port()
    argv = [
        *(tool("fulcio"), "serve", "--config-path", config),
        *("--ca", "fileca", "--fileca-watch=false", "--fileca-cert", folder / "services" / "fulcio.pem"),
        *("--fileca-key", _write(folder / "fulcio.key", keys.fulcio[0].key, PASSWORD), "--fileca-key-passwd", PASSWORD),
        *("--ct-log-url", ct_log, "--ct-log-public-key-path", folder / "services" / "ct_log.pub"),
        *("--host", HOST, "--port", str(port), "--grpc-host", HOST, "--grpc-port", str(free_port())),
        # An abstract socket: the path of one in a folder of pytest's may be too long.
        *("--metrics-port", str(free_port()), "--legacy-unix-domain-socket", f"@gate-e2e-{port}"),
    ]
    with _running(argv, folder / "fulcio.log", f"http://{HOST}:{port}", "/healthz") as url:
        yield url


@contextlib.contextmanager
def _running_rekor(folder: Path, keys: Keys) -> Iterator[str]:
    port = free_port()
    argv = [
        *(tool("rekor-server"), "serve", "--storage-dir", folder / "log", "--hostname", HOST),
        *("--signer-filepath", _write(folder / "rekor.key", keys.rekor)),
        *("--http-port", str(port), "--grpc-port", str(free_port()), "--http-metrics-port", str(free_port())),
        *("--checkpoint-interval", "1s"),  # the least; a client waits for the checkpoint that has its entry
    ]
    with _running(argv, folder / "rekor.log", f"http://{HOST}:{port}", "/healthz") as url:
        yield url


@contextlib.contextmanager
def _running_timestamps(folder: Path, keys: Keys) -> Iterator[str]:
    port = free_port()
    key = _write(folder / "timestamps.key", keys.timestamps[0].key, PASSWORD)
    argv = [
        *(tool("timestamp-server"), "serve", "--host", HOST, "--port", str(port), "--disable-ntp-monitoring"),
        *("--timestamp-signer", "file", "--file-signer-key-path", key, "--file-signer-passwd", PASSWORD),
        *("--certificate-chain-path", folder / "services" / "timestamps.pem"),
    ]
    with _running(argv, folder / "timestamps.log", f"http://{HOST}:{port}", "/ping") as url:
        yield f"{url}/api/v1/timestamp"


@contextlib.contextmanager
def _running(argv: list[str | Path], log: Path, url: str, path: str) -> Iterator[str]:
    """Yield ``url`` once the program answers at ``path`` of it."""

    def answers() -> bool:
        try:
            return requests.get(url + path, timeout=1).ok
        except requests.ConnectionError:
            return False

    with Process(argv, log) as process:
        process.ready(answers, READY_SECONDS)
        yield url


def _write(path: Path, key: ec.EllipticCurvePrivateKey, password: str = "") -> Path:
    """Write ``key`` where only its owner reads it, encrypted where there is a password, and return ``path``."""
    cipher = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher))
    return path
