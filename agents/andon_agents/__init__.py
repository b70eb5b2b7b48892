"""Adapters: what to run for an agent, and how to read it. Knows andon.schema only."""
