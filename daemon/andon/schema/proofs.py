"""What a proof's command and whoever reads its report agree on; knows neither of the two."""

COMMAND = "andon prove"
"""What a check's command says that runs a proof of ours."""
FORMAT = "andon-proofs-1"
"""Names of facts are compared between two commits. When we name them otherwise this changes, so that nothing that was remembered
under old names is compared with new ones."""
UNEVALUATED_EXIT = 114
"""Exit code of a proof that could say neither yes nor no."""
UNEVALUATED = "unevaluated: "
"""How the message of a skipped case begins that is no skipped test but a fact that nobody could look at."""
