"""The gateway's bounds, in one place."""

STREAMS = 512
"""Calls under way at once; one more is answered 503."""
HEADER_BYTES, HEADERS = 64 * 1024, 256
"""Of one header line, and how many; more is answered 400."""
HEAD_BYTES, TAIL_BYTES = 64 * 1024, 960 * 1024
"""What is kept of a body for reading it: its beginning and its end, in memory, until the call is over."""
RECORD_BYTES = 16 * 2**20
"""Size at which `gateway.jsonl` is set aside as `gateway.jsonl.1`; the one before is dropped."""
FLOWING_S = 2.0
"""Least time between two lines about a stream that flows."""
BACKLOG, BACKLOG_BYTES = 20_000, 64 * 2**20
"""What may wait to be written down; beyond it, it is dropped: the stream never waits."""
BATCH_BYTES = 128 * 1024
"""An answer is handed over for reading in parts of about this size."""
CONNECT_S = 30.0
"""To reach the provider. Nothing else has a limit: a provider that is silent is passed on as silence."""
KEEP_S = 30.0
"""An idle connection to a provider is kept so long."""
DRAIN_S = 10.0
"""After SIGTERM, calls under way have so long to end."""

WAYS = 512
"""Jobs with a way out at once; one more is refused."""
CONNECTIONS, WAITING = 256, 768
"""Of one job through its way out: at once; and how many more wait their turn. Beyond them one is answered 503."""
CHUNK = 64 * 1024
"""What is read at once. A connection keeps a few of them each way, whatever is sent."""
HEAD_S, WAIT_S = 20.0, 60.0
"""To say a request or a greeting, from its first moment; to get a turn."""
PAUSE_S = 300.0
"""A connection may say nothing between two requests so long, and so long may its one side speak on when the other has ended."""
SILENT_S = 3600.0
"""Neither side says a word for so long: it is closed. Models think long."""
LAST_S, LAST_BYTES = 2.0, 8 * 2**20
"""A client that is refused is heard out so long and so far, so that it hears the refusal."""
RESOLVE_S, LOOKUPS = 15.0, 4
"""To find a name's addresses; how many names of one job are asked for at once."""
ACCESS_BYTES = 2**20
"""Size of `access.jsonl` from which repeats are no longer written; from twice that nothing is."""
ACCESS_KINDS = 500
"""Different hosts of one job that are told one by one."""
TOLD_S, TOLD_MOST_S = 2.0, 600.0
"""Repeats are told together, after this, then twice that, and so on up to the other."""
QUIET_S = 2.0
"""At the end: a connection that said nothing for so long is not waited for."""
