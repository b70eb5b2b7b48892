"""Exit codes of every verb. Knows no verb."""

OK = 0
NOT_SO = 1
MISTAKE = 2
NO_DAEMON = 3
DECLINED = 4
NOT_EVALUATED = 5
UNEVALUATED = 114
INTERRUPTED = 130
BROKEN_PIPE = 141

TEXT = """\
exit codes of andon

    0   done, or: it is so
    1   what was asked about is not so (a waited-for task failed, a chain is broken, a check of the settings found a fault)
    2   a mistake in the command, its arguments or a file; nothing happened
    3   the daemon cannot be reached
    4   the daemon understood and declined: the state does not allow it (a gate changed since it was seen); nothing happened
    5   nothing speaks against what was asked about, and not all of it could be evaluated
  114   andon prove: something could not be looked at, which is no pass
  130   interrupted from the keyboard
  141   the reader of the output went away
"""
"""What `andon help exit-codes` prints."""
