"""How the reports of checks are read: one format a file, and what they are held against."""
