"""Look into built packages: ``python scripts/check_package.py FOLDER [FOLDER]``.

Each folder has one wheel and one source package. The wheel holds the package and nothing else, no link on its page
leads nowhere, and its own links are those of the repository that AZPG_PROJECT_URL names. Two folders hold the same
bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import package_page  # noqa: E402 (needs the path)

PACKAGE = "azpg_backend"
NEEDED = (f"{PACKAGE}/py.typed", f"{PACKAGE}/trust/bundle.pem", f"{PACKAGE}/trust/manifest.json")
_RELATIVE = re.compile(r"\]\((?![a-z]+:|#)[^)\s]+\)")


def of_wheel(path: Path, url: str = "") -> list[str]:
    """Return what is wrong with a wheel. url: of the repository, "" if it is not known."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = message_from_string(wheel.read(about).decode("utf-8"))
        license_file = f"{about.rpartition('/')[0]}/licenses/LICENSE"
    inside = (f"{PACKAGE}/", f"{about.rpartition('/')[0]}/")
    page = str(metadata.get_payload())
    found = [f"{each} is missing" for each in (*NEEDED, license_file) if each not in names]
    found += [f"{each} does not belong there" for each in names if not each.startswith(inside) or "__pycache__" in each]
    found += [f"its page links to {each[2:-1]}" for each in _RELATIVE.findall(page)]
    links = package_page.declared(metadata)
    if links != package_page.links(url, str(metadata["Version"])):
        found.append(f"its links are {links}")
    if "pip install django-azpg" not in page:
        found.append("its page is not README")
    return [f"{path.name}: {each}" for each in found]


def of_source(path: Path) -> list[str]:
    """Return what is missing in a source package: it has to build and test itself."""
    with tarfile.open(path) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    wanted = ("pyproject.toml", "hatch_build.py", "noxfile.py", "README.md", "tests/conftest.py", "docs/index.md")
    return [f"{path.name}: {each} is missing" for each in wanted if each not in names]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def main(folders: list[Path]) -> int:
    first = folders[0]
    (wheel,), (source,) = first.glob("*.whl"), first.glob("*.tar.gz")
    problems = of_wheel(wheel, os.environ.get(package_page.URL_VARIABLE, "").rstrip("/")) + of_source(source)
    problems += [f"{each} differs from {first}" for each in folders if digests(each) != digests(first)]
    print("\n".join(problems or [f"{wheel.name} and {source.name}: nothing is wrong"]))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main([Path(each) for each in sys.argv[1:]]))
