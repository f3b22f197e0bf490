"""Tests of the management API, part by part."""
