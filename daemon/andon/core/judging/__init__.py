"""How signals become a verdict, split by concern. Pure."""
