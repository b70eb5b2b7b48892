"""What re-computes the evidence of a landing with git, ssh-keygen and the standard library alone; `andon audit` gives it away."""
