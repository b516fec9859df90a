"""A ConfigMap or Secret as a kubelet mounts it: every update is a new directory, and one symlink that is swapped."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Mount:
    """The directory ``path``, updated as k8s.io/kubernetes/pkg/volume/util/atomic_writer.go does it."""

    path: Path
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def update(self, files: Mapping[str, bytes]) -> None:
        """Put ``files`` there, all at once, in place of what was there."""
        self.path.mkdir(parents=True, exist_ok=True)
        link = self.path / "..data"
        before = link.resolve() if link.is_symlink() else None
        new = self.path / f"..2026_01_01_{next(self._numbers)}"
        new.mkdir()
        for name, data in files.items():
            (new / name).write_bytes(data)
        temporary = self.path / "..data_tmp"
        temporary.symlink_to(new.name)
        temporary.replace(link)
        for name in files:
            visible = self.path / name
            if not visible.is_symlink():
                visible.symlink_to(f"..data/{name}")
        for visible in self.path.iterdir():
            if not visible.name.startswith("..") and visible.name not in files:
                visible.unlink()
        if before is not None:
            shutil.rmtree(before)
