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
