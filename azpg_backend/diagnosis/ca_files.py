"""The official copies of the roots, and the files they are written to: once for a whole azpg_check, not per alias."""

from __future__ import annotations

import threading

from azpg_backend.diagnosis.bounded import Task
from azpg_backend.trust import ca_file, download, manifest
from azpg_backend.trust.download import Download


class Roots:
    """What the ca steps of all aliases share.

    offline: don't download. timeout: seconds for all downloads. update: existing files may gain roots.
    export: a path to write the roots to besides, or None.
    """

    def __init__(self, *, offline: bool, timeout: float, update: bool, export: str | None) -> None:
        self.offline = offline
        self.update = update
        self.export = export
        self._timeout = timeout
        # Aliases may share a file, and each must see what the other did to it.
        self._files = threading.Lock()
        self._downloads: Task[list[Download]] | None = None
        if not offline:
            self._downloads = Task(lambda: download.fetch(manifest.bundled(), timeout), "azpg-check-ca")

    def downloads(self) -> list[Download]:
        """Return how each root fared, waiting for the downloads; [] when offline."""
        return [] if self._downloads is None else self._downloads.result(self._timeout + 1)

    def provide(self, path: str) -> tuple[ca_file.CaFile, str]:
        """Write or extend a CA file as the options allow, and return it with a word on what was done.

        A missing file is written; an existing one only gains roots, and only with --update-ca. Nothing is written
        where an official URL served another certificate. Raises ca_file.CaFileError.
        """
        with self._files:
            done = ""
            current = ca_file.read(path)
            if not any(each.problem == "fingerprint_mismatch" for each in self.downloads()):
                if current.unusable is not None and current.unusable.code == "ca.file_missing":
                    done = "written" if ca_file.write_new(path, manifest.bundled()) else ""
                elif self.update and current.unusable is None:
                    added = ca_file.add_roots(path, manifest.bundled())
                    done = f"gained {', '.join(root.name for root in added)}" if added else ""
            return (ca_file.read(path) if done else current), done
