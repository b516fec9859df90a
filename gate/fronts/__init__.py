"""Who may ask: each front turns a question of its own world into one for the service."""
