"""Settings of a repository and of a person: read, checked, explained. Knows andon.schema only."""
