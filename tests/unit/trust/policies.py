"""Policy files: those that are read, and those that are refused, each with every line that is said of it."""
# ruff: noqa: E501 (a table of cases, a line each)

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gate.core.errors import ConfigError
from gate.core.keys import supported_key
from gate.core.oci import Digest
from gate.core.policy import Policy
from gate.core.trust import CertificateAuthority, Log, TrustedRoot, Window
from gate.trust.policyfile import load_policy
from tests.fakes.roots import FakeRoots
from tests.fakes.signing import NOW, signer

HEAD = """\
apiVersion: gate/v1
kind: Policy
noMatch: deny
sources: {git: existing, helmHttp: deny, helmOci: deny}
"""
RULE = """\
rules:
  - name: one
    match: {images: ["registry.example/acme/**"]}
    authorities: [{name: a, key: {file: a.pub}}]
"""
BASE = HEAD + RULE
DIGEST = "sha256:" + "0" * 64
UNTIL = "2026-12-01T00:00:00Z"
ME = "identities: [{issuer: https://i, subject: me}]"

_SINCE = Window(NOW)
_LOG = Log(b"log", supported_key(ec.generate_private_key(ec.SECP256R1()).public_key()), _SINCE)
_AUTHORITY = CertificateAuthority((), _SINCE)


def root(name: str, *, logs: bool = True, certificates: bool = True, timestamps: bool = True) -> TrustedRoot:
    """A trust root with or without its lists; who is in them does not matter to a policy."""
    return TrustedRoot(
        Digest.of(name.encode()),
        logs=(_LOG,) if logs else (),
        certificate_authorities=(_AUTHORITY,) if certificates else (),
        timestamp_authorities=(_AUTHORITY,) if timestamps else (),
    )


PUBLIC_GOOD = root("public good")
ROOTS = {
    "root.json": root("root.json"),
    "no-log.json": root("no-log.json", logs=False),
    "no-ca.json": root("no-ca.json", certificates=False),
    "no-tsa.json": root("no-tsa.json", timestamps=False),
}


@dataclass(slots=True)
class Roots(FakeRoots):
    """Trust roots of a given content, by the names of their files."""

    public_good: TrustedRoot = PUBLIC_GOOD
    files: list[Path] = field(default_factory=list)

    def file(self, path: Path) -> TrustedRoot:
        self.files.append(path)
        if path.name not in ROOTS:
            raise ConfigError(f"the trust root {path.name} cannot be used")
        return ROOTS[path.name]


def prepare(directory: Path) -> Path:
    """Put the keys that the policies name beside them."""
    for number, name in enumerate(("a.pub", "b.pub", "c.pub")):
        (directory / name).write_bytes(signer("p256", number).public_pem)
    return directory


def load(directory: Path, text: str, roots: FakeRoots | None = None) -> Policy:
    """Return what the text means as a policy file in the directory."""
    path = directory / "policy.yaml"
    path.write_text(text)
    return load_policy(path, roots or Roots())


def rule(*lines: str) -> str:
    """The base with more fields of its one rule, from line 9 on."""
    return BASE + "".join(f"    {line}\n" for line in lines)


def matching(fields: str) -> str:
    """The base with another match, in line 7."""
    return BASE.replace('{images: ["registry.example/acme/**"]}', fields)


def authorities(*each: str) -> str:
    """The base with other authorities, from line 9 on."""
    listed = "".join(f"      - {{{one}}}\n" for one in each)
    return BASE.replace(" [{name: a, key: {file: a.pub}}]\n", "\n" + listed)


def static(*lines: str) -> str:
    """The base with a static rule, whose further fields begin in line 9."""
    return BASE.replace("authorities: [{name: a, key: {file: a.pub}}]", "static: fail") + "".join(
        f"    {line}\n" for line in lines
    )


def exception(fields: str) -> str:
    """The base with an exception, in line 10."""
    return f"{BASE}exceptions:\n  - {{{fields}}}\n"


KEYLESS = f"name: a, keyless: {{{ME}}}"
EDGE = "kind: RootSync, namespace: config-management-system, name: edge"

ACCEPTED = {
    "the shortest": BASE,
    "no match warns": BASE.replace("noMatch: deny", "noMatch: warn"),
    "no match allows": BASE.replace("noMatch: deny", "noMatch: allow"),
    "charts are resolved": BASE.replace("helmOci: deny", "helmOci: resolve"),
    "a digest is required": BASE.replace("helmOci: deny", "helmOci: deny, requireDigest: true"),
    "a rollout": f"{BASE}rollout: {{mode: warn, until: {UNTIL}, reason: first weeks}}\n",
    "a rollout until a quoted time": f'{BASE}rollout: {{mode: warn, until: "{UNTIL}", reason: first weeks}}\n',
    "a rollout in another zone": f"{BASE}rollout: {{mode: warn, until: 2026-12-01T00:00:00.5+02:00, reason: x}}\n",
    "a rollout without a reason": f"{BASE}rollout: {{mode: warn, until: {UNTIL}}}\n",
    "a rollout with an empty reason": f'{BASE}rollout: {{mode: warn, until: {UNTIL}, reason: ""}}\n',
    "a rollout of long ago": f"{BASE}rollout: {{mode: warn, until: 1999-01-01T00:00:00Z, reason: x}}\n",
    "a rule that warns": rule("mode: warn"),
    "a rule that records": rule("mode: audit"),
    "everything that a rule can match": matching(
        f'{{images: ["**", "*.example/a/*"], kinds: [RootSync, RepoSync], namespaces: ["team-*"], names: [a.b], digests: ["{DIGEST}"]}}'
    ),
    "a count": authorities("name: a, key: {file: a.pub}", "name: b, key: {file: b.pub}") + "    require: {count: 2}\n",
    "all by name": authorities("name: a, key: {file: a.pub}", "name: b, key: {file: b.pub}")
    + "    require: {all: [b, a]}\n",
    "some by name": authorities("name: a, key: {file: a.pub}", "name: b, key: {file: b.pub}")
    + "    require: {all: [b]}\n",
    "a requirement that says nothing": rule("require: {}"),
    "the repository in the payload": rule("matchReference: repository"),
    "open in an outage": rule("onUnavailable: allow"),
    "a message": rule("message: ask the platform team"),
    "static fail": static("message: rolled back"),
    "static pass": static().replace("static: fail", "static: pass"),
    "a key that needs a log entry": authorities("name: a, key: {file: a.pub}, transparencyLog: required"),
    "a key that needs an entry of another log": authorities(
        "name: a, key: {file: a.pub}, transparencyLog: required, trustRoot: {file: no-tsa.json}"
    ),
    "a key that needs a timestamp": authorities(
        "name: a, key: {file: a.pub}, trustRoot: {file: no-log.json}, signedTimestamp: required"
    ),
    "a key whose trust root proves nothing": authorities(
        "name: a, key: {file: a.pub}, trustRoot: sigstore, signedTimestamp: auto"
    ),
    "keyless": authorities(KEYLESS),
    "keyless with everything said": authorities(
        f"{KEYLESS}, trustRoot: sigstore, transparencyLog: required, signedTimestamp: auto"
    ),
    "keyless by expressions": authorities(
        "name: a, keyless: {identities: [{issuerRegExp: 'https://.*', subjectRegExp: 'a|b'}, {issuer: i, subject: s}]}"
    ),
    "keyless without a log": authorities(f"{KEYLESS}, transparencyLog: ignore, signedTimestamp: required"),
    "keyless without an issuer": authorities(
        "name: a, keyless: {identities: [{subject: me}]}, trustRoot: {file: root.json}"
    ),
    "an exception for a digest": exception(f'image: "registry.example/acme/x@{DIGEST}", reason: x, until: {UNTIL}'),
    "an exception for an object": exception(
        f"repository: registry.example/acme/x, {EDGE}, reason: x, until: '{UNTIL}'"
    ),
    "an exception without a reason": exception(f'image: "registry.example/acme/x@{DIGEST}", until: {UNTIL}'),
    "no exceptions": BASE + "exceptions: []\n",
    "the same key in two rules": BASE + RULE.partition("\n")[2].replace("one", "two"),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """``messages`` are the lines without the name of the file; ``by_schema`` says that an editor sees it, too."""

    text: str
    messages: tuple[str, ...]
    by_schema: bool = True


def refused(text: str, *messages: str) -> Refused:
    return Refused(text, messages)


def unseen(text: str, *messages: str) -> Refused:
    """A file that a schema cannot tell from a good one."""
    return Refused(text, messages, by_schema=False)


REFUSED = [
    # the document
    refused("[]\n", "1: the document: found an empty list, expected a mapping"),
    refused("rules\n", '1: the document: found "rules", expected a mapping'),
    refused(BASE.replace("apiVersion: gate/v1\n", ""), "1: apiVersion: is missing, expected gate/v1"),
    refused(BASE.replace("gate/v1", "gate/v2"), '1: apiVersion: found "gate/v2", expected gate/v1'),
    refused(BASE.replace("kind: Policy", "kind: ClusterImagePolicy"), '2: kind: found "ClusterImagePolicy", expected Policy'),
    refused(BASE.replace("noMatch: deny\n", ""), "1: noMatch: is missing, expected one of deny, warn, allow"),
    refused(BASE.replace("noMatch: deny", "noMatch: maybe"), '3: noMatch: found "maybe", expected one of deny, warn, allow'),
    refused(BASE.replace("noMatch: deny", "noMatch:"), "3: noMatch: found nothing, expected one of deny, warn, allow"),
    refused(BASE + "colour: red\n", "9: colour: is not a field that gate knows here, expected one of apiVersion, exceptions, kind, noMatch, rollout, rules, sources"),
    refused("kind: Pod\ncolour: red\nrules: [{name: one}, {name: one}, x]\n", "1: apiVersion: is missing, expected gate/v1", '1: kind: found "Pod", expected Policy', "1: noMatch: is missing, expected one of deny, warn, allow", "1: sources: is missing, expected a mapping", "2: colour: is not a field that gate knows here, expected one of apiVersion, exceptions, kind, noMatch, rollout, rules, sources", "3: rules[0].match: is missing, expected a mapping", "3: rules[0]: found neither authorities nor static, expected exactly one of them", '3: rules[1].name: found "one" a second time, expected a name that no other one has', "3: rules[1].match: is missing, expected a mapping", "3: rules[1]: found neither authorities nor static, expected exactly one of them", '3: rules[2]: found "x", expected a mapping'),
    # sources
    refused(BASE.replace("sources: {git: existing, helmHttp: deny, helmOci: deny}\n", ""), "1: sources: is missing, expected a mapping"),
    refused(BASE.replace("{git: existing, helmHttp: deny, helmOci: deny}", "all"), '4: sources: found "all", expected a mapping'),
    refused(BASE.replace("{git: existing, helmHttp: deny, helmOci: deny}", "{}"), "4: sources.git: is missing, expected one of allow, existing, deny", "4: sources.helmHttp: is missing, expected one of allow, existing, deny", "4: sources.helmOci: is missing, expected deny or resolve"),
    refused(BASE.replace("git: existing", "git: resolve"), '4: sources.git: found "resolve", expected one of allow, existing, deny'),
    refused(BASE.replace("helmHttp: deny", "helmHttp: false"), '4: sources.helmHttp: found "false", expected one of allow, existing, deny'),
    refused(BASE.replace("helmOci: deny", "helmOci: existing"), '4: sources.helmOci: found "existing", expected deny or resolve'),
    refused(BASE.replace("helmOci: deny", "helmOci: deny, requireDigest: yes"), '4: sources.requireDigest: found "yes", expected true or false without quotes'),
    refused(BASE.replace("helmOci: deny", "helmOci: deny, s3: deny"), "4: sources.s3: is not a field that gate knows here, expected one of git, helmHttp, helmOci, requireDigest"),
    # rollout
    refused(BASE + "rollout: warn\n", '9: rollout: found "warn", expected a mapping'),
    refused(BASE + "rollout: {}\n", "9: rollout.mode: is missing, expected warn", "9: rollout.until: is missing, expected a time of the form 2026-12-01T00:00:00Z"),
    refused(BASE + f"rollout: {{mode: audit, until: {UNTIL}, reason: x}}\n", '9: rollout.mode: found "audit", expected warn'),
    refused(BASE + "rollout: {mode: warn, until: 2026-12-01, reason: x}\n", '9: rollout.until: "2026-12-01" is not a time of the form 2026-12-01T00:00:00Z (RFC 3339, with a zone)'),
    refused(BASE + 'rollout: {mode: warn, until: "2026-12-01T00:00:00", reason: x}\n', '9: rollout.until: "2026-12-01T00:00:00" is not a time of the form 2026-12-01T00:00:00Z (RFC 3339, with a zone)'),
    unseen(BASE + "rollout: {mode: warn, until: 2026-02-30T00:00:00Z, reason: x}\n", '9: rollout.until: "2026-02-30T00:00:00Z" is not a time that exists'),
    refused(BASE + f"rollout: {{mode: warn, until: {UNTIL}, reason: [x]}}\n", "9: rollout.reason: found a list, expected a string that is not empty"),
    refused(BASE + f"rollout: {{mode: warn, until: {UNTIL}, reason: x, since: x}}\n", "9: rollout.since: is not a field that gate knows here, expected one of mode, reason, until"),
    # rules
    refused(HEAD, "1: rules: is missing, expected a list that is not empty"),
    refused(HEAD + "rules: []\n", "5: rules: found an empty list, expected a list that is not empty"),
    refused(HEAD + "rules: {}\n", "5: rules: found a mapping, expected a list that is not empty"),
    refused(HEAD + "rules: [one]\n", '5: rules[0]: found "one", expected a mapping'),
    refused(BASE.replace("name: one", "mode: warn"), "6: rules[0].name: is missing, expected a string that is not empty"),
    refused(BASE.replace("name: one", 'name: ""'), '6: rules[0].name: found "", expected a string that is not empty'),
    unseen(BASE + RULE.partition("\n")[2], '9: rules[1].name: found "one" a second time, expected a name that no other one has'),
    refused(rule("mode: on"), '9: rules[0].mode: found "on", expected one of enforce, warn, audit'),
    refused(rule("onUnavailable: warn"), '9: rules[0].onUnavailable: found "warn", expected deny or allow'),
    refused(rule("matchReference: exact"), '9: rules[0].matchReference: found "exact", expected ignore or repository'),
    refused(rule("message: [x]"), "9: rules[0].message: found a list, expected a string that is not empty"),
    refused(rule("labels: {a: b}"), "9: rules[0].labels: is not a field that gate knows here, expected one of authorities, match, matchReference, message, mode, name, onUnavailable, require, static"),
    refused(BASE.replace("    match:", "    mach:"), "6: rules[0].match: is missing, expected a mapping", "7: rules[0].mach: is not a field that gate knows here, expected one of authorities, match, matchReference, message, mode, name, onUnavailable, require, static"),
    # match
    refused(matching("{}"), "7: rules[0].match.images: is missing, expected a list that is not empty"),
    refused(matching("{images: []}"), "7: rules[0].match.images: found an empty list, expected a list that is not empty"),
    refused(matching("{images: registry.example/a}"), '7: rules[0].match.images: found "registry.example/a", expected a list that is not empty'),
    refused(matching('{images: [""]}'), '7: rules[0].match.images[0]: found "", expected a string that is not empty'),
    unseen(matching("{images: [acme]}"), '7: rules[0].match.images[0]: "acme" is not a repository glob: write HOST/PATH, or ** for every image'),
    unseen(matching('{images: ["registry.example/a:v1"]}'), '7: rules[0].match.images[0]: "registry.example/a:v1" names a tag or a digest; globs match repositories only'),
    unseen(matching('{images: ["reg*.example/a"]}'), '7: rules[0].match.images[0]: "reg*.example/a" has a * within a label of the host; it stands for one whole label'),
    refused(matching('{images: [{glob: "**"}]}'), "7: rules[0].match.images[0]: found a mapping, expected a string that is not empty"),
    refused(matching('{images: ["**", "**"]}'), '7: rules[0].match.images[1]: found "**" a second time, expected it once'),
    refused(matching('{images: ["**"], kinds: [RootSync, Pod]}'), '7: rules[0].match.kinds[1]: found "Pod", expected RootSync or RepoSync'),
    refused(matching('{images: ["**"], kinds: []}'), "7: rules[0].match.kinds: found an empty list, expected a list that is not empty"),
    refused(matching('{images: ["**"], namespaces: [Team_A]}'), '7: rules[0].match.namespaces[0]: found "Team_A", expected a name of an object (a-z, 0-9, - and .), * for any part of it'),
    refused(matching('{images: ["**"], names: ["a/*"]}'), '7: rules[0].match.names[0]: found "a/*", expected a name of an object (a-z, 0-9, - and .), * for any part of it'),
    refused(matching('{images: ["**"], digests: ["sha256:0"]}'), '7: rules[0].match.digests[0]: "sha256:0" is not a digest of the form sha256:<64 hex digits>'),
    refused(matching('{images: ["**"], labels: {a: b}}'), "7: rules[0].match.labels: is not a field that gate knows here, expected one of digests, images, kinds, names, namespaces"),
    # authorities or static
    refused(HEAD + 'rules:\n  - name: one\n    match: {images: ["**"]}\n', "6: rules[0]: found neither authorities nor static, expected exactly one of them"),
    refused(rule("static: fail"), "6: rules[0]: found both authorities and static, expected exactly one of them"),
    refused(static().replace("static: fail", "static: {action: fail}"), "8: rules[0].static: found a mapping, expected fail or pass"),
    refused(static().replace("static: fail", "static: deny"), '8: rules[0].static: found "deny", expected fail or pass'),
    refused(static("require: {count: 1}", "matchReference: ignore", "onUnavailable: deny"), "9: rules[0].require: is given beside static, expected it beside authorities only", "10: rules[0].matchReference: is given beside static, expected it beside authorities only", "11: rules[0].onUnavailable: is given beside static, expected it beside authorities only"),
    refused(BASE.replace("[{name: a, key: {file: a.pub}}]", "[]"), "8: rules[0].authorities: found an empty list, expected a list that is not empty"),
    refused(authorities("key: {file: a.pub}"), "9: rules[0].authorities[0].name: is missing, expected a string that is not empty"),
    refused(authorities("name: a"), "9: rules[0].authorities[0]: found neither key nor keyless, expected exactly one of them"),
    refused(authorities(f"{KEYLESS}, key: {{file: a.pub}}"), "9: rules[0].authorities[0]: found both key and keyless, expected exactly one of them"),
    unseen(authorities("name: a, key: {file: a.pub}", "name: a, key: {file: b.pub}"), '10: rules[0].authorities[1].name: found "a" a second time, expected a name that no other one has'),
    unseen(authorities("name: a, key: {file: a.pub}", "name: b, key: {file: a.pub}"), '10: rules[0].authorities[1].key: found the key of "a" a second time, expected another key'),
    refused(authorities("name: a, key: {file: a.pub}, ctlog: {url: x}"), "9: rules[0].authorities[0].ctlog: is not a field that gate knows here, expected one of key, keyless, name, signedTimestamp, transparencyLog, trustRoot"),
    # keys
    refused(authorities("name: a, key: a.pub"), '9: rules[0].authorities[0].key: found "a.pub", expected a mapping'),
    refused(authorities("name: a, key: {}"), "9: rules[0].authorities[0].key: found neither file nor data, expected exactly one of them"),
    refused(authorities("name: a, key: {file: a.pub, data: x}"), "9: rules[0].authorities[0].key: found both file and data, expected exactly one of them"),
    refused(authorities("name: a, key: {kms: x}"), "9: rules[0].authorities[0].key: found neither file nor data, expected exactly one of them", "9: rules[0].authorities[0].key.kms: is not a field that gate knows here, expected data or file"),
    refused(authorities('name: a, key: {file: ""}'), '9: rules[0].authorities[0].key.file: found "", expected a string that is not empty'),
    unseen(authorities("name: a, key: {file: gone.pub}"), '9: rules[0].authorities[0].key.file: the public key "DIR/gone.pub" cannot be read: No such file or directory'),
    unseen(authorities("name: a, key: {file: policy.yaml}"), '9: rules[0].authorities[0].key.file: the public key "DIR/policy.yaml" cannot be used: it is not exactly one PEM block of type PUBLIC KEY'),
    unseen(authorities("name: a, key: {data: not a key}"), "9: rules[0].authorities[0].key.data: it is not exactly one PEM block of type PUBLIC KEY"),
    # keyless
    refused(authorities("name: a, keyless: {}"), "9: rules[0].authorities[0].keyless.identities: is missing, expected a list that is not empty"),
    refused(authorities("name: a, keyless: {identities: []}"), "9: rules[0].authorities[0].keyless.identities: found an empty list, expected a list that is not empty"),
    refused(authorities("name: a, keyless: {identities: [me]}"), '9: rules[0].authorities[0].keyless.identities[0]: found "me", expected a mapping'),
    refused(authorities("name: a, keyless: {identities: [{issuer: i}]}"), "9: rules[0].authorities[0].keyless.identities[0]: found neither subject nor subjectRegExp, expected exactly one of them"),
    refused(authorities("name: a, keyless: {identities: [{issuer: i, subject: s, subjectRegExp: s}]}"), "9: rules[0].authorities[0].keyless.identities[0]: found both subject and subjectRegExp, expected exactly one of them"),
    refused(authorities("name: a, keyless: {identities: [{issuer: i, issuerRegExp: i, subject: s}]}"), "9: rules[0].authorities[0].keyless.identities[0]: found both issuer and issuerRegExp, expected exactly one of them"),
    refused(authorities("name: a, keyless: {identities: [{subject: s}]}"), "9: rules[0].authorities[0].keyless.identities[0]: found neither issuer nor issuerRegExp, expected exactly one of them"),
    refused(authorities("name: a, keyless: {identities: [{subject: s}]}, trustRoot: sigstore"), "9: rules[0].authorities[0].keyless.identities[0]: found neither issuer nor issuerRegExp, expected exactly one of them"),
    refused(authorities('name: a, keyless: {identities: [{subject: s, issuer: ""}]}, trustRoot: {file: root.json}'), '9: rules[0].authorities[0].keyless.identities[0].issuer: found "", expected a string that is not empty'),
    unseen(authorities('name: a, keyless: {identities: [{issuer: i, subjectRegExp: "a(b"}]}'), '9: rules[0].authorities[0].keyless.identities[0].subjectRegExp: "a(b" is not a regular expression (RE2): "missing ): a(b"'),
    unseen(authorities('name: a, keyless: {identities: [{issuerRegExp: "(?=a)", subject: s}]}'), '9: rules[0].authorities[0].keyless.identities[0].issuerRegExp: "(?=a)" is not a regular expression (RE2): "invalid perl operator: (?="'),
    refused(authorities("name: a, keyless: {url: x, identities: [{issuer: i, subject: s, region: r}]}"), "9: rules[0].authorities[0].keyless.identities[0].region: is not a field that gate knows here, expected one of issuer, issuerRegExp, subject, subjectRegExp", "9: rules[0].authorities[0].keyless.url: is not a field that gate knows here, expected identities"),
    # what must be proved besides
    refused(authorities("name: a, key: {file: a.pub}, transparencyLog: off"), '9: rules[0].authorities[0].transparencyLog: found "off", expected ignore or required'),
    refused(authorities("name: a, key: {file: a.pub}, trustRoot: sigstore, signedTimestamp: ignore"), '9: rules[0].authorities[0].signedTimestamp: found "ignore", expected auto or required'),
    refused(authorities("name: a, key: {file: a.pub}, signedTimestamp: required"), "9: rules[0].authorities[0].signedTimestamp: is given alone, expected trustRoot beside it, which says whose timestamps count"),
    refused(authorities("name: a, key: {file: a.pub}, signedTimestamp: auto"), "9: rules[0].authorities[0].signedTimestamp: is given alone, expected trustRoot beside it, which says whose timestamps count"),
    refused(authorities("name: a, key: {file: a.pub}, transparencyLog: required, signedTimestamp: required"), "9: rules[0].authorities[0].signedTimestamp: is given alone, expected trustRoot beside it, which says whose timestamps count"),
    refused(authorities(f"{KEYLESS}, transparencyLog: ignore"), '9: rules[0].authorities[0].transparencyLog: found "ignore", expected required, or signedTimestamp: required beside it, because something has to prove the time'),
    refused(authorities(f"{KEYLESS}, transparencyLog: ignore, signedTimestamp: auto"), '9: rules[0].authorities[0].transparencyLog: found "ignore", expected required, or signedTimestamp: required beside it, because something has to prove the time'),
    refused(authorities(f"{KEYLESS}, trustRoot: public"), '9: rules[0].authorities[0].trustRoot: found "public", expected sigstore, or a mapping with file'),
    refused(authorities(f"{KEYLESS}, trustRoot: {{}}"), "9: rules[0].authorities[0].trustRoot.file: is missing, expected a string that is not empty"),
    refused(authorities(f"{KEYLESS}, trustRoot: [sigstore]"), "9: rules[0].authorities[0].trustRoot: found a list, expected sigstore, or a mapping with file"),
    refused(authorities(f"{KEYLESS}, trustRoot: {{file: root.json, url: x}}"), "9: rules[0].authorities[0].trustRoot.url: is not a field that gate knows here, expected file"),
    unseen(authorities(f"{KEYLESS}, trustRoot: {{file: bad.json}}"), "9: rules[0].authorities[0].trustRoot.file: the trust root bad.json cannot be used"),
    unseen(authorities(f"{KEYLESS}, trustRoot: {{file: no-ca.json}}"), "9: rules[0].authorities[0].trustRoot: lists no certificate authority, expected one, because the authority is keyless"),
    unseen(authorities(f"{KEYLESS}, trustRoot: {{file: no-log.json}}"), "9: rules[0].authorities[0].trustRoot: lists no transparency log, expected one, because transparencyLog is required"),
    unseen(authorities(f"{KEYLESS}, trustRoot: {{file: no-tsa.json}}, signedTimestamp: required"), "9: rules[0].authorities[0].trustRoot: lists no timestamp authority, expected one, because signedTimestamp is required"),
    unseen(authorities("name: a, key: {file: a.pub}, transparencyLog: required, trustRoot: {file: no-log.json}"), "9: rules[0].authorities[0].trustRoot: lists no transparency log, expected one, because transparencyLog is required"),
    unseen(authorities("name: a, key: {file: a.pub}, signedTimestamp: required, trustRoot: {file: no-tsa.json}"), "9: rules[0].authorities[0].trustRoot: lists no timestamp authority, expected one, because signedTimestamp is required"),
    # require
    refused(rule("require: all"), '9: rules[0].require: found "all", expected a mapping'),
    refused(rule("require: {count: 0}"), '9: rules[0].require.count: found "0", expected 1 without quotes'),
    unseen(rule("require: {count: 2}"), '9: rules[0].require.count: found "2", expected 1 without quotes'),
    refused(rule('require: {count: "1"}'), '9: rules[0].require.count: found "1", expected 1 without quotes'),
    refused(rule("require: {all: [a], count: 1}"), "9: rules[0].require: found both count and all, expected exactly one of them"),
    refused(rule("require: {all: []}"), "9: rules[0].require.all: found an empty list, expected a list that is not empty"),
    unseen(rule("require: {all: [a, z]}"), '9: rules[0].require.all[1]: found "z", expected the name of an authority of this rule'),
    refused(rule("require: {all: [a, a]}"), '9: rules[0].require.all[1]: found "a" a second time, expected it once'),
    refused(rule("require: {any: [a]}"), "9: rules[0].require.any: is not a field that gate knows here, expected all or count"),
    # exceptions
    refused(BASE + "exceptions: {}\n", "9: exceptions: found a mapping, expected a list"),
    refused(exception(f"reason: x, until: {UNTIL}"), "10: exceptions[0]: found neither image nor repository, expected exactly one of them"),
    refused(exception(f'image: "r.example/a@{DIGEST}", repository: r.example/a, {EDGE}, reason: x, until: {UNTIL}'), "10: exceptions[0]: found both image and repository, expected exactly one of them"),
    refused(exception(f'image: "r.example/a@{DIGEST}", {EDGE}, reason: x, until: {UNTIL}'), "10: exceptions[0].kind: is not a field that gate knows here, expected one of image, reason, repository, until", "10: exceptions[0].namespace: is not a field that gate knows here, expected one of image, reason, repository, until", "10: exceptions[0].name: is not a field that gate knows here, expected one of image, reason, repository, until"),
    refused(exception(f"image: r.example/a, reason: x, until: {UNTIL}"), '10: exceptions[0].image: found "r.example/a", expected REPOSITORY@sha256:DIGEST without a tag'),
    refused(exception(f'image: "r.example/a:v1@{DIGEST}", reason: x, until: {UNTIL}'), '10: exceptions[0].image: found "r.example/a:v1@sha256:0000000000000000000000000000000000000000000000000000000000000000", expected REPOSITORY@sha256:DIGEST without a tag'),
    unseen(exception(f'image: "r.example/A@{DIGEST}", reason: x, until: {UNTIL}'), '10: exceptions[0].image: "r.example/A@sha256:0000000000000000000000000000000000000000000000000000000000000000" is not an image reference'),
    refused(exception(f"repository: r.example/a, reason: x, until: {UNTIL}"), "10: exceptions[0].kind: is missing, expected RootSync or RepoSync", "10: exceptions[0].namespace: is missing, expected a string that is not empty", "10: exceptions[0].name: is missing, expected a string that is not empty"),
    refused(exception(f"repository: r.example/a, kind: Pod, namespace: a, name: b, reason: x, until: {UNTIL}"), '10: exceptions[0].kind: found "Pod", expected RootSync or RepoSync'),
    refused(exception(f'repository: r.example/a, kind: RepoSync, namespace: "*", name: "b*", reason: x, until: {UNTIL}'), '10: exceptions[0].namespace: found "*", expected a name of an object (a-z, 0-9, - and .)', '10: exceptions[0].name: found "b*", expected a name of an object (a-z, 0-9, - and .)'),
    unseen(exception(f'repository: "r.example/**", {EDGE}, reason: x, until: {UNTIL}'), '10: exceptions[0].repository: "r.example/**" is not an image reference'),
    unseen(exception(f'repository: "r.example/a:v1", {EDGE}, reason: x, until: {UNTIL}'), '10: exceptions[0].repository: found "r.example/a:v1", expected a repository without tag and digest'),
    refused(exception(f'image: "r.example/a@{DIGEST}", reason: x'), "10: exceptions[0].until: is missing, expected a time of the form 2026-12-01T00:00:00Z"),
    refused(exception(f'image: "r.example/a@{DIGEST}", reason: x, until: tomorrow'), '10: exceptions[0].until: "tomorrow" is not a time of the form 2026-12-01T00:00:00Z (RFC 3339, with a zone)'),
    refused(exception(f'image: "r.example/a@{DIGEST}", reason: x, until: {UNTIL}, owner: me'), "10: exceptions[0].owner: is not a field that gate knows here, expected one of image, reason, repository, until"),
]  # fmt: skip
