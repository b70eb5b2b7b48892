"""Checks that come with the program: each is a program of its own that reads what it is asked, offline, and writes SARIF."""
