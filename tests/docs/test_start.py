"""docs/start.md, followed as a newcomer does: from an empty folder to the first migrate."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from azpg_backend import trust
from demo_project.localpg import LocalPostgres
from tests.support import programs
from tests.support.examples import examples
from tests.support.settings import HOST

PAGE = "start.md"
BLOCKS = [each for each in examples() if each.page == f"docs/{PAGE}"]
(PROJECT,) = (each.text for each in BLOCKS if each.heading.startswith("4.") and each.language == "sh")
(SETTINGS,) = (each.text for each in BLOCKS if each.heading.startswith("4.") and each.language == "python")
(CHECK,) = (each.text for each in BLOCKS if each.heading.startswith("5."))
(ROLE,) = (each.text for each in BLOCKS if "CREATE ROLE" in each.text)
# Behind the name of a server on Azure stands one of this machine.
HERE = """
DATABASES["default"].update(
    HOST={host!r}, PORT={port}, OPTIONS={{"hostaddr": "127.0.0.1", "sslrootcert": {roots!r}}}
)
INSTALLED_APPS += ["azpg_backend"]
"""


def test_from_an_empty_folder_to_the_first_migrate(own_server: LocalPostgres, tmp_path: Path) -> None:
    folder, roots = tmp_path / "empty", tmp_path / "all.pem"
    folder.mkdir()
    roots.write_text(own_server.chain.root_pem + Path(trust.BUNDLE).read_text())
    own_server.sql("DROP DATABASE app; ")
    own_server.sql("DROP ROLE app")
    own_server.sql("CREATE DATABASE app")
    own_server.sql(ROLE, "app")
    with programs.installed(tmp_path) as environ:

        def sh(text: str) -> str:
            command = ["sh", "-eu", "-c", text]
            done = subprocess.run(command, cwd=folder, env=dict(environ), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout + done.stderr

        sh(PROJECT)
        path = folder / "mysite" / "settings.py"
        made = path.read_text()
        replaced, times = re.subn(r"^DATABASES = \{.*?^\}\n", "", made, flags=re.DOTALL | re.MULTILINE)
        assert times == 1
        path.write_text(replaced + SETTINGS + HERE.format(host=HOST, port=own_server.port, roots=str(roots)))
        # The name of the folder is said to be mysite, and no warning greets a newcomer.
        assert "System check identified no issues" in sh("python manage.py check")
        said = sh(CHECK.replace("azpg_check", "azpg_check --offline"))
    assert "Applying auth.0012" in said
    assert "WARN" not in said
