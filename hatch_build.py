"""What hatch runs when it builds: README and links that work on the package's page on an index."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).parent / "scripts"))

import package_page  # noqa: E402 (it is found only now)


class PackagePage(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        url = package_page.repository(Path(self.root))
        text = Path(self.root, "README.md").read_text("utf-8")
        version = metadata["version"]
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": package_page.readme(text, url, version),
        }
        metadata["urls"] = package_page.links(url, version)
