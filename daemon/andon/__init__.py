"""Andon: a local software factory. The daemon, its vocabulary and its command line."""
