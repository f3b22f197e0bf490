"""The whole broker on disks that fail, fill up or lose power."""
