"""From a Plan to an open connection."""
