"""Widgets. They never import the app."""
