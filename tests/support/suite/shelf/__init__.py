"""A small application for comparing Django's commands on two engines. commands.py copies it beside its settings."""
