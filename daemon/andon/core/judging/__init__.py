"""How a session is judged: facts folded from signals, and the layers that read them. Pure."""
