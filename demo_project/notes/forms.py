from django import forms

from demo_project.notes.models import Note


class NoteForm(forms.ModelForm):
    class Meta:
        model = Note
        fields = ["text"]
        labels = {"text": "New note"}
        widgets = {"text": forms.TextInput(attrs={"autocomplete": "off"})}
