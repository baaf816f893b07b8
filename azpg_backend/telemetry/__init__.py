"""What happens on the way to a connection, for logs and for OpenTelemetry. Loaded when there is something to tell."""
