"""The face: a Textual app fed by the daemon. Knows andon.schema and andon.client only."""
