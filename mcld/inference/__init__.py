"""From conditions to pictures."""
