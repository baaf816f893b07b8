"""Write a CA file: whole or not at all, never somewhere else.

The folder may belong to another account than the one that writes, root's for example, and that account can put a link
in the place of any file in it at any moment. So folder and file are held open, and whatever is done to a file's mode
or owner is done to the open file, never to its path.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from azpg_backend.trust import ca_file, manifest
from azpg_backend.trust.manifest import Root

_MODE = 0o644
_FOLDER_MODE = 0o755
# Windows has neither.
_HOLDS_FOLDERS = os.open in os.supports_dir_fd and os.link in os.supports_dir_fd
_BY_DESCRIPTOR = os.name == "posix"


class CaFileError(Exception):
    """A CA file can't be written. message says which, and why; hint, what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}")
        self.message = message
        self.hint = hint


def write_new(path: str, roots: Iterable[Root]) -> str:
    """Write the roots to a file that does not exist yet, readable for everybody (mode 0644).

    Returns what was done, or "" if the file appeared meanwhile, which is left alone. Of the folders above at most the
    last one is made: a path with more that is missing is a typing error more often than not. Raises CaFileError.
    """
    target = Path(os.path.abspath(path))
    with _explained(target):
        made = _make_folder(target.parent)
        try:
            with _Folder(target.parent) as folder, folder.temporary(target.name, _text(roots), _MODE) as temporary:
                if not folder.appear(temporary, target.name):
                    return ""
        except BaseException:
            if made:
                with contextlib.suppress(OSError):
                    target.parent.rmdir()
            raise
    return "written" + (f", its folder {target.parent} made" if made else "") + _closed(target.parent)


def add_roots(path: str, roots: Iterable[Root]) -> list[Root]:
    """Append the roots that an existing file lacks and return them; what is in it stays, byte for byte.

    The file is replaced atomically and keeps mode and owner; a symbolic link keeps pointing at it. Raises CaFileError,
    also if libpq can't load the file as it is.
    """
    target = Path(os.path.realpath(path))
    with _explained(target):
        current = ca_file.read(str(target))
        if current.unusable is not None:
            raise CaFileError(current.unusable.message, current.unusable.hint)
        missing = current.missing(roots)
        if missing:
            # From the bytes that were judged, not read again: another process may have added the same meanwhile.
            gap = b"" if current.data.endswith(b"\n") else b"\n"
            with _Folder(target.parent) as folder:
                before = folder.status(target.name)
                data = current.data + gap + b"\n" + _text(missing)
                mode = stat.S_IMODE(before.st_mode) & 0o777
                with folder.temporary(target.name, data, mode, like=before) as temporary:
                    folder.replace(temporary, target.name)
        return missing


def write_over(path: str, data: bytes) -> None:
    """Write a file, or replace one, which keeps mode and owner; a symbolic link keeps pointing at it.

    Raises OSError, or CaFileError if the owner can't be kept.
    """
    target = Path(os.path.realpath(path))
    with _Folder(target.parent) as folder:
        try:
            before = folder.status(target.name)
        except FileNotFoundError:
            before = None
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise OSError(None, "not a regular file")
        mode = stat.S_IMODE(before.st_mode) & 0o777 if before else _MODE
        with folder.temporary(target.name, data, mode, like=before) as temporary:
            folder.replace(temporary, target.name)


def _text(roots: Iterable[Root]) -> bytes:
    return "\n".join(manifest.pem(root) for root in roots).encode("ascii")


def _make_folder(folder: Path) -> bool:
    """Make a folder that everybody may look into, and say whether it was missing; the one above it must exist."""
    if folder.exists():
        return False
    if not folder.parent.exists():
        raise CaFileError(
            f"{folder} does not exist, and neither does {folder.parent}",
            "Correct the path, or make the folder first.",
        )
    try:
        folder.mkdir(_FOLDER_MODE)
    except FileExistsError:
        return False
    if _HOLDS_FOLDERS:
        # Whatever the umask is.
        with _Folder(folder) as made:
            os.fchmod(made.descriptor, _FOLDER_MODE)
    return True


def _closed(folder: Path) -> str:
    """Return a warning if only a folder's owner can reach what is in it."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if os.name != "posix" or mode & 0o011:
        return ""
    return f", but only its owner can enter {folder} (mode {mode:o}): let the application's account enter it"


class _Folder:
    """A folder held open. Used in a ``with`` block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = -1

    def __enter__(self) -> _Folder:
        if _HOLDS_FOLDERS:
            self.descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        return self

    def __exit__(self, *error: object) -> None:
        if self.descriptor != -1:
            os.close(self.descriptor)

    def _at(self, name: str) -> tuple[str, int | None]:
        """Return a name and the folder that it is in, as os functions take them."""
        return (name, self.descriptor) if _HOLDS_FOLDERS else (str(self._path / name), None)

    def status(self, name: str) -> os.stat_result:
        path, folder = self._at(name)
        return os.stat(path, dir_fd=folder, follow_symlinks=False)

    @contextlib.contextmanager
    def temporary(
        self, target: str, data: bytes, mode: int, like: os.stat_result | None = None
    ) -> Iterator[tuple[str, int]]:
        """Yield name and descriptor of a complete file, on disk, with its mode; it is gone afterwards in any case.

        like: the file that it will replace, whose owner it gets.
        """
        name = f".{target[:200]}.{secrets.token_hex(8)}.tmp"
        path, folder = self._at(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o600, dir_fd=folder)
        file = open(descriptor, "wb")  # noqa: SIM115 (Windows wants it closed earlier, and closing twice does no harm)
        try:
            file.write(data)
            file.flush()
            if _BY_DESCRIPTOR:
                _give_back(descriptor, like)
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            if not _HOLDS_FOLDERS:
                file.close()
            yield name, descriptor
        finally:
            # Closing tries to write again what the disk did not take, and may fail like that.
            try:
                file.close()
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path, dir_fd=folder)

    def appear(self, temporary: tuple[str, int], target: str) -> bool:
        """Give a file its name, unless there is one already."""
        (old, folder), (new, _) = self._at(temporary[0]), self._at(target)
        try:
            os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=not _HOLDS_FOLDERS)
        except FileExistsError:
            return False
        except (OSError, NotImplementedError):
            # Some file systems have no hard links. Between the look and the replacement another process can only have
            # written the same roots.
            with contextlib.suppress(FileNotFoundError):
                self.status(target)
                return False
            os.replace(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        self._confirm(temporary, target)
        return True

    def replace(self, temporary: tuple[str, int], target: str) -> None:
        (old, folder), (new, _) = self._at(temporary[0]), self._at(target)
        os.replace(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        self._confirm(temporary, target)

    def _confirm(self, temporary: tuple[str, int], target: str) -> None:
        """Make sure that the file under the name is the one that was written."""
        with contextlib.suppress(FileNotFoundError):
            if _HOLDS_FOLDERS and not os.path.samestat(self.status(target), os.fstat(temporary[1])):
                # Another process that adds roots has replaced it meanwhile; or somebody plays with links.
                if stat.S_ISREG(self.status(target).st_mode):
                    return
                raise CaFileError(
                    f"{self._path / target} was replaced by something else while it was written",
                    "Look who else may write to this folder, and run the command again.",
                )


def _give_back(descriptor: int, like: os.stat_result | None) -> None:
    """Give a file the owner of the one that it replaces. Raises CaFileError."""
    own = os.fstat(descriptor)
    if like is None or (own.st_uid, own.st_gid) == (like.st_uid, like.st_gid):
        return
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    except OSError as error:
        raise CaFileError(
            f"the file belongs to user {like.st_uid} and group {like.st_gid}, and would belong to {own.st_uid} and "
            f"{own.st_gid} afterwards ({error.strerror}), so that the application might not be able to read it",
            "Run the command as the file's owner.",
        ) from error


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CaFileError(
            f"{target} can't be written ({reason})",
            "Choose a path in a folder that this account may write to and that has space left, or remove sslrootcert: "
            "the roots in this package need no writing.",
        ) from error
