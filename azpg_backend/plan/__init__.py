"""From settings and environment to a Plan: what libpq is told for one alias. Touches no network."""
