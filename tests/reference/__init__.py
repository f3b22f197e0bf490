"""Slow twins of the product: the plainest thing that does the same, to compare with."""
