"""What this process keeps between two connects."""
