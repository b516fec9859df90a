"""Provide the tools of the end-to-end suite in ``.tools/bin``; a bare python3 is enough to run it.

Each tool is the first of: the file that ``GATE_TOOL_<NAME>`` names; one on PATH whose version is in range; one that
was built before; one built now with ``go build`` from the Go module beside this file. Builds are kept outside the
checkout, in a folder named by a hash of what decides the result: a fresh clone on the same machine builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE.parents[2] / ".tools" / "bin"
BUILD_SECONDS = 1800  # a cold build of kube-apiserver takes about 4 minutes on 2 cores
VERSION_SECONDS = 10  # asking a program for its version

OWN = "."  # the package of a program whose main file lies beside its go.mod

Version = tuple[int, ...]


class ToolError(Exception):
    """A tool cannot be provided; the text is one sentence for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One program: where its source is, and which versions of it found on PATH will do.

    ``version`` is a regular expression whose groups are the numbers of the version that ``ask`` prints.
    """

    name: str
    module: str
    package: str
    ask: tuple[str, ...]
    version: str
    lowest: Version
    below: Version
    also: str = ""
    variables: str = ""

    @property
    def on_path(self) -> tuple[str, ...]:
        """Return the names under which the program may be installed."""
        return (self.name, self.also) if self.also else (self.name,)

    @property
    def variable(self) -> str:
        """Return the environment variable that names the program."""
        return "GATE_TOOL_" + self.name.upper().replace("-", "_")

    @property
    def linker_flags(self) -> str:
        """Return the flags for the linker: no symbols, and the version where the build would not know it."""
        return f"-s -w {self.variables}".strip()


# Where the programs of Sigstore keep the version that they show.
_RELEASE = "-X sigs.k8s.io/release-utils/version.gitVersion="


def _cosign(version: str) -> Tool:
    # Nothing older was tried with the flags that the suite signs with.
    major, minor, _ = (int(number) for number in version[1:].split("."))
    return Tool(
        name=f"cosign{major}",
        module=f"cosign{major}",
        package=f"github.com/sigstore/cosign/v{major}/cmd/cosign",
        ask=("version",),
        version=r"GitVersion:\s+v(\d+)\.(\d+)",
        lowest=(major, minor),
        below=(major + 1,),
        also="cosign",
        variables=_RELEASE + version,
    )


def _service(name: str, package: str, version: str, title: str) -> Tool:
    # The title tells programs of one name apart: the first Rekor and the one on Google's storage are rekor-server too.
    major, minor, _ = (int(number) for number in version[1:].split("."))
    return Tool(
        name=name,
        module=name.partition("-")[0],
        package=package,
        ask=("version",),
        version=rf"{re.escape(title)}\s+GitVersion:\s+v(\d+)\.(\d+)",
        lowest=(major, minor),
        below=(major + 1,),
        variables=_RELEASE + version,
    )


# Without the version the server calls itself v0.0.0 and its feature gates go astray.
_KUBERNETES = "-X k8s.io/component-base/version.gitVersion=v1.33.4"

TOOLS = (
    Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3", ("--version",), r"etcd Version: (\d+)\.(\d+)", (3, 5), (4,)),
    Tool(
        "olareg",
        "olareg",
        "github.com/olareg/olareg/cmd/olareg",
        ("version",),
        r"VCSTag:\s+v(\d+)\.(\d+)",
        (0, 1),
        (1,),
    ),
    Tool(
        "registry",
        "registry",
        "github.com/distribution/distribution/v3/cmd/registry",
        ("--version",),
        r"distribution/v3 v(\d+)\.(\d+)",
        (3, 0),
        (4,),
    ),
    Tool(
        "kube-apiserver",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        ("--version",),
        r"Kubernetes v(\d+)\.(\d+)",
        (1, 30),  # match conditions of webhooks are stable since 1.30
        (2,),
        variables=_KUBERNETES,
    ),
    Tool(
        "kubectl",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kubectl",
        ("version", "--client"),
        r"Client Version: v(\d+)\.(\d+)",
        (1, 30),
        (2,),
        variables=_KUBERNETES,
    ),
    _cosign("v3.1.3"),
    _cosign("v2.6.5"),
    _service("fulcio", "github.com/sigstore/fulcio", "v1.8.8", "fulcio: Fulcio"),
    _service(
        "rekor-server",
        "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
        "v2.3.0",
        "rekor-server: Rekor signature transparency log server (POSIX)",
    ),
    _service(
        "timestamp-server",
        OWN,
        "v2.1.3",
        "timestamp-server: Timestamp authority service",
    ),
)


def main() -> int:
    """Provide every tool and return 0, or print one sentence and return 1."""
    try:
        BIN.mkdir(parents=True, exist_ok=True)
        for tool in TOOLS:
            link(BIN / tool.name, named(tool) or installed(tool) or cached(tool) or build(tool))
    except ToolError as error:
        say(str(error))
        return 1
    return 0


def named(tool: Tool) -> Path | None:
    """Return the program that the environment names, None if none; raise ToolError if it is no program."""
    value = os.environ.get(tool.variable)
    if not value:
        return None
    path = Path(value).expanduser().absolute()
    if not os.access(path, os.X_OK) or path.is_dir():
        raise ToolError(f"{tool.variable} names {value}, which is not a program.")
    return path


def installed(tool: Tool) -> Path | None:
    """Return the first program on PATH whose version is in range, or None."""
    # What this script linked is not what the machine has.
    folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each and Path(each).resolve() != BIN]
    for name in tool.on_path:
        found = shutil.which(name, path=os.pathsep.join(folders))
        if found and in_range(tool, Path(found)):
            return Path(found).absolute()
    return None


def in_range(tool: Tool, program: Path) -> bool:
    """Return whether ``program`` says that it is a version of ``tool`` that will do."""
    try:
        answer = subprocess.run(
            [program, *tool.ask], capture_output=True, text=True, errors="replace", timeout=VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    match = re.search(tool.version, answer.stdout + answer.stderr)
    return match is not None and tool.lowest <= tuple(int(number) for number in match.groups()) < tool.below


def cached(tool: Tool) -> Path | None:
    """Return the program that was built before from the same source, or None."""
    program = place(tool)
    return program if os.access(program, os.X_OK) else None


def place(tool: Tool) -> Path:
    """Return where the built program belongs: a folder named by a hash of all that decides what is built."""
    digest = hashlib.sha256()
    parts = [f"{tool.package}\n{tool.linker_flags}\n{sys.platform} {os.uname().machine}\n".encode()]
    source = ("go.mod", "go.sum", *(("main.go",) if tool.package == OWN else ()))
    parts += [(HERE / tool.module / name).read_bytes() for name in source]
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (
        Path(root).expanduser().absolute() / f"config-sync-gate/tools/{tool.name}-{digest.hexdigest()[:16]}" / tool.name
    )


def build(tool: Tool) -> Path:
    """Build the program, put it in its place in one step and return its path; raise ToolError if that fails."""
    go = shutil.which("go")
    if go is None:
        raise ToolError(f"{tool.name} must be built and go is missing; install Go, or name one in {tool.variable}.")
    program = place(tool)
    program.parent.mkdir(parents=True, exist_ok=True)
    say(f"building {tool.name} (once; minutes when Go has not built it before)")
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        out = Path(scratch) / tool.name
        # A workspace or a vendoring habit of the person who calls make must not change what is built.
        flags = ["-mod=readonly", "-trimpath", "-ldflags", tool.linker_flags, "-o", str(out)]
        command = [go, "build", *flags, tool.package]
        environment = os.environ | {"GOWORK": "off"}
        try:
            done = subprocess.run(command, cwd=HERE / tool.module, env=environment, timeout=BUILD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ToolError(f"building {tool.name} took more than {BUILD_SECONDS} seconds.") from None
        if done.returncode != 0:
            raise ToolError(f"go could not build {tool.name}; its own words are above.")
        out.replace(program)
    return program


def say(sentence: str) -> None:
    """Tell the person at the terminal."""
    sys.stderr.write(f"make tools: {sentence}\n")
    sys.stderr.flush()


def link(name: Path, target: Path) -> None:
    """Make ``name`` a link to ``target`` in one step, whatever it was before."""
    if name.is_symlink() and name.readlink() == target:
        return
    scratch = name.with_name(f".{name.name}-{os.getpid()}")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(name)


if __name__ == "__main__":
    sys.exit(main())
