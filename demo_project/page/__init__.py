"""What the demo's page shows: the last check, the certificate chain as a picture, and what was verified."""
