"""What this process keeps between two connects, and what becomes of it in a forked child."""
