"""Files in the documentation are what their readers take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.support.examples import ROOT, Example, run_by

# How a file of each kind begins, its schema, and what the pages leave out of it.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "services": ("compose-spec", {}),
    "jobs": ("github-workflows", {"on": "push"}),
    "on": ("github-workflows", {}),
    "steps": ("azure-pipelines", {}),
}
# Prints the group of the first key share in a ClientHello (RFC 8446, 4.2.8).
FIRST_SHARE = """
import ssl
out = ssl.MemoryBIO()
try:
    ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="a").do_handshake()
except ssl.SSLWantReadError:
    hello = out.read()
at = 5 + 4 + 2 + 32
at += 1 + hello[at]
at += 2 + int.from_bytes(hello[at:at + 2], "big")
at += 1 + hello[at] + 2
while int.from_bytes(hello[at:at + 2], "big") != 51:
    at += 4 + int.from_bytes(hello[at + 2:at + 4], "big")
print(int.from_bytes(hello[at + 6:at + 8], "big"))
"""
P_256 = "23"


@pytest.mark.parametrize("example", run_by("tests/docs/test_formats.py::test_yaml"), ids=lambda each: each.name)
def test_yaml(example: Example, tmp_path: Path) -> None:
    document = YAML(typ="safe").load(example.text)
    # "on" is a boolean in YAML 1.1, and a word in 1.2.
    kind = next((each for each in KINDS if each in document), None)
    assert kind, f"{example.name}: say in KINDS which schema it has"
    schema, left_out = KINDS[kind]
    path = tmp_path / "file.json"
    path.write_text(json.dumps({**left_out, **document}))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("example", run_by("tests/docs/test_formats.py::test_json"), ids=lambda each: each.name)
def test_json(example: Example) -> None:
    """What azpg_check prints, but for the steps that a page leaves out."""
    schema = json.loads((ROOT / "docs" / "azpg_check.schema.json").read_text("utf-8"))
    del schema["$defs"]["database"]["properties"]["steps"]["minItems"]
    jsonschema.validate(json.loads(example.text), schema)


@pytest.mark.parametrize("example", run_by("tests/docs/test_formats.py::test_openssl_conf"), ids=lambda each: each.name)
def test_openssl_conf(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "openssl.cnf"
    path.write_text(example.text.replace("X25519MLKEM768", "X448"))

    def first_share(environ: dict[str, str]) -> str:
        command = [sys.executable, "-c", FIRST_SHARE]
        done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert first_share({}) != P_256
    assert first_share({"OPENSSL_CONF": str(path)}) == P_256
