"""Unmodified clients, each used as its users use it; see README.md."""
