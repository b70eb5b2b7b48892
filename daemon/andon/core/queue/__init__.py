"""The merge queue's policy: which prefixes to prove, which to land, whom to suspect; and the laboratory that compares policies."""
