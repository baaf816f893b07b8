"""From an alias's settings to a Plan: what libpq is told. Touches no network."""
