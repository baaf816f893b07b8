"""What went wrong: the problems this package knows, what a driver's error means, and what of it may be shown."""
