from django.urls import path

from demo_project.notes import views

urlpatterns = [path("", views.index, name="index")]
