"""Write the header of each root in azpg_backend/trust/roots/ and the bundles that libpq is given.

The manifest's SHA-256 decides: a PEM that does not hash to its pin, or that is not self-signed, is refused. With
--check nothing is written, and the exit status is 1 where a file differs from what would be written.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from azpg_backend.trust import manifest  # noqa: E402 (the checkout's own package, not an installed one)

TRUST = Path(manifest.__file__).parent


def section(root: manifest.Root, pem: str) -> str:
    """Return one root as it stands in its own file and in the bundle: what a reviewer reads, then the PEM."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    if len(blocks) != 1:
        raise SystemExit(f"{root.slug}: {len(blocks)} certificates in the file, not one")
    certificate = x509.load_pem_x509_certificate(blocks[0].encode())
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    if digest != root.sha256:
        raise SystemExit(f"{root.slug}: SHA-256 is {digest}, pinned is {root.sha256}")
    # The pin vouches for the signature, which on the oldest root is SHA-1 and can't be checked by current libraries.
    if certificate.issuer != certificate.subject:
        raise SystemExit(f"{root.slug}: issued by {certificate.issuer.rfc4514_string()}, not by itself")
    if (certificate.not_valid_before_utc, certificate.not_valid_after_utc) != (root.not_before, root.not_after):
        raise SystemExit(f"{root.slug}: its validity is not the manifest's")
    lines = [
        f"# {root.name}",
        f"# Subject: {certificate.subject.rfc4514_string()}",
        f"# Serial: {certificate.serial_number:X}",
        f"# Valid: {root.not_before:%Y-%m-%d} to {root.not_after:%Y-%m-%d}",
        f"# SHA-256: {root.sha256}",
        *(f"# Source: {source.url} ({source.format})" for source in root.urls),
        f"# Azure: {root.status}{', ' + ', '.join(root.clouds) if root.clouds else ''}",
    ]
    return "\n".join(lines) + "\n" + certificate.public_bytes(serialization.Encoding.PEM).decode()


def generated() -> dict[Path, str]:
    files = {path: section(root, path.read_text("ascii")) for root, path in bundled()}
    files[TRUST / "bundle.pem"] = "\n".join(files.values())
    return files


def bundled() -> list[tuple[manifest.Root, Path]]:
    return [(root, manifest.pem_path(root)) for root in manifest.roots() if root.bundled]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is out of date")
    check = parser.parse_args().check
    changed = 0
    stray = set((TRUST / "roots").iterdir()) - {path for _, path in bundled()}
    for path in sorted(stray):
        print(f"{path.name} is not in the manifest")
        changed += 1
    for path, text in generated().items():
        current = path.read_text("ascii") if path.exists() else ""
        if current == text:
            continue
        changed += 1
        if check:
            print(
                "\n".join(difflib.unified_diff(current.split("\n"), text.split("\n"), path.name, "expected", "", "", 1))
            )
        else:
            path.write_text(text, "ascii", newline="\n")
            print(f"wrote {path.name}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
