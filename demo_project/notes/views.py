import re
from datetime import datetime, timezone
from typing import Any

from django.db import DatabaseError, ProgrammingError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from demo_project.notes.connection import seen_by_server
from demo_project.notes.forms import NoteForm
from demo_project.notes.models import Note
from demo_project.page.chain import path
from demo_project.page.checked import Checked, check, last_check
from demo_project.page.claims import claims, verified
from demo_project.page.drawing import NARROW, WIDE, draw

SHOWN = 20
# The page is one file: whatever would load something, or run it, is not ours.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


@require_safe
@never_cache
def index(request: HttpRequest) -> HttpResponse:
    return _page(request, NoteForm())


@require_POST
@never_cache
def add_note(request: HttpRequest) -> HttpResponse:
    form = NoteForm(request.POST)
    try:
        if form.is_valid():
            form.save()
            return redirect("/#notes")
    except DatabaseError:
        form.add_error("text", "The database did not take the note.")
    return _page(request, form)


@require_POST
def check_again(request: HttpRequest) -> HttpResponse:
    check()
    return redirect("/#check")


def _page(request: HttpRequest, form: NoteForm) -> HttpResponse:
    checked, answers = live()
    context = {**what_was_checked(checked), **answers, "form": form}
    response = render(request, "notes/index.html", context)
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "same-origin"
    return response


def what_was_checked(checked: Checked) -> dict[str, Any]:
    """Return the part of the page that the check alone decides."""
    found, made, now = path(checked), claims(checked), datetime.now(timezone.utc)
    return {
        "checked": checked,
        "report": checked.report,
        "host": re.split(r"(?<=[.-])", str(checked.report["host"])),
        "tls": checked.detail("tls"),
        "path": found,
        "leaf": found.certificates[0] if found.certificates else None,
        "root": found.certificates[-1] if checked.detail("certificate").get("root") else None,
        "claims": made,
        "verified": verified(made),
        "drawings": [draw(found.certificates, shape, now) for shape in (WIDE, NARROW)],
    }


def live() -> tuple[Checked, dict[str, Any]]:
    """Return the last check, and what the server says now; if it does not answer, the check is run anew to say why."""
    checked = last_check()
    try:
        now: dict[str, Any] = {"seen": seen_by_server(), "notes": None}
    except DatabaseError:
        return check(), {"seen": None, "notes": None}
    try:
        now["notes"] = list(Note.objects.all()[:SHOWN])
    except ProgrammingError:
        now["unmigrated"] = True
    return checked, now
