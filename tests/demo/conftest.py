"""The demo's page: served by the demo itself, or by the view alone with a report of the test's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest
from django.test import Client, override_settings

import demo_project.settings
from demo_project.page.checked import Checked
from tests.support.demo import demo, url_of

Show = Callable[..., str]


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The address of the page, which ``manage.py demo --serve`` serves."""
    with demo("--serve", "--address", "127.0.0.1:0") as process:
        yield url_of(process)


@pytest.fixture
def client() -> Iterator[Client]:
    """Django's test client for the demo project."""
    with override_settings(
        TEMPLATES=demo_project.settings.TEMPLATES, ROOT_URLCONF="demo_project.urls", ALLOWED_HOSTS=["testserver"]
    ):
        yield Client()


@pytest.fixture
def show(client: Client, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Return a function that renders the page for a result of the check, with notes or for a server that is silent."""
    # Models need Django, which pytest sets up after it has read this file.
    from demo_project.notes import views
    from demo_project.notes.connection import Seen
    from demo_project.notes.models import Note

    def render(result: Checked, *notes: str) -> str:
        seen = Seen("17.0", "app", "app", 1234, True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256)
        rows = [Note(text=text, created=datetime.now(timezone.utc)) for text in notes]
        answers = {"seen": seen, "notes": rows} if notes else {"seen": None, "notes": None}
        monkeypatch.setattr(views, "live", lambda: (result, answers))
        return client.get("/").content.decode()

    return render
