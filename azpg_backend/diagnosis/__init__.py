"""The connectivity diagnosis behind ``manage.py azpg_check``."""
