"""Tests of ``broker.wal``."""
