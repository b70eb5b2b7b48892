"""What each kind of station decides. Pure."""
