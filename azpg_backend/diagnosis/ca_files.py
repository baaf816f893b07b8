"""The CA files of one azpg_check, shared by all aliases."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from azpg_backend.diagnosis.bounded import Task, side_by_side
from azpg_backend.trust import ca_file, download, manifest, writing
from azpg_backend.trust.download import Download
from azpg_backend.trust.manifest import Root


class Roots:
    """What the ca steps of all aliases share.

    offline: don't download.
    timeout: seconds for all downloads.
    update: existing files may gain roots.
    export: a path to write the roots to besides, or None.
    """

    def __init__(self, *, offline: bool, timeout: float, update: bool, export: str | None) -> None:
        self.offline = offline
        self.update = update
        self.export = export
        self._timeout = timeout
        # Aliases may share a file, and each must see what the other did to it.
        self._files = threading.Lock()
        self._known: dict[str, tuple[tuple[int, ...], ca_file.CaFile]] = {}
        self._downloads: Task[list[Download]] | None = None
        if not offline:
            self._downloads = Task(lambda: fetch(manifest.bundled(), timeout), "azpg-check-ca")

    def downloads(self) -> list[Download]:
        """Return how each root fared, waiting for the downloads; [] if offline."""
        return [] if self._downloads is None else self._downloads.result(self._timeout + 1)

    def provide(self, path: str, *, may_write: bool = True) -> tuple[ca_file.CaFile, str]:
        """Write or extend a CA file as the options allow, and return it with a word on what was done.

        A missing file is written; an existing one only gains roots, and only with --update-ca. Nothing is written if
        an official URL served another certificate. Raises writing.CaFileError.
        may_write: False for a path that leads somewhere else in another folder.
        """
        with self._files:
            done = ""
            current = self._read(path)
            if may_write and not any(each.problem == "fingerprint_mismatch" for each in self.downloads()):
                if current.unusable is not None and current.unusable.code == "ca.file_missing":
                    done = writing.write_new(path, manifest.bundled())
                elif self.update and current.unusable is None:
                    added = writing.add_roots(path, manifest.bundled())
                    done = f"gained {', '.join(root.name for root in added)}" if added else ""
            return (ca_file.read(path) if done else current), done

    def _read(self, path: str) -> ca_file.CaFile:
        """Read a CA file, once for all the aliases of a fleet that share it, as long as it is the same file."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return ca_file.read(path)
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
        known = self._known.get(path)
        if known is None or known[0] != state:
            known = self._known[path] = (state, ca_file.read(path))
        return known[1]


def fetch(roots: Sequence[Root], timeout: float) -> list[Download]:
    """Fetch roots side by side and say how each fared, after at most so many seconds."""
    outcomes = side_by_side(lambda root: download.fetch(root, timeout), roots, timeout)
    late = f"no complete answer within {timeout:g} s"
    return [
        outcome if isinstance(outcome, Download) else Download(root, "download_failed", late)
        for root, outcome in zip(roots, outcomes, strict=True)
    ]
