"""What events about running sessions change."""
