"""What each kind of event changes, one small function a kind. Pure."""
