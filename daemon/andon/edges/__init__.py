"""Thin edges, one kind of I/O a file. They carry out and observe; they never decide."""
