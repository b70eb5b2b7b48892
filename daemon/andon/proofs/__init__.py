"""Proofs: commands that look at a checkout and write what holds there as named facts; they know nothing of tasks or the daemon."""
