from django.urls import path

from demo_project.notes import views

urlpatterns = [
    path("", views.index, name="index"),
    path("check", views.check_again, name="check"),
    path("notes", views.add_note, name="notes"),
]
