"""The loopback model gateway: a process of its own that passes model calls through and writes down how they went."""
