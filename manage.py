#!/usr/bin/env python
"""The demo project's manage.py: ``manage.py demo`` and ``manage.py azpg_check`` are the ones to try."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
