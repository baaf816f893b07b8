"""The engine under a name that has "postgresql" in it, for packages that look at the name."""
