"""Reads what a change is made of from git objects alone: nothing of the repository runs, and no class is decided here."""
