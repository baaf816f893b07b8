"""What happens on the way to a connection, for those who watch. Loaded when there is something to tell."""
