"""What can go wrong, in words."""
