"""Azure itself, asked what it knows of a server: read-only, never needed to connect."""
