from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from demo_project.notes.connection import seen_by_server
from demo_project.notes.models import Note


@require_http_methods(["GET", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    if text := request.POST.get("text", "").strip()[:200]:
        Note.objects.create(text=text)
        return redirect("index")
    return render(request, "notes/index.html", {"notes": Note.objects.all()[:20], "seen": seen_by_server()})
