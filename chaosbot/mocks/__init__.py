"""Servers that stand in for what the target calls."""
