"""The disk, as the log sees it: the operating system's calls, in one place to replace in tests."""


class Disk:
    """Everything the log asks of the operating system."""


REAL_DISK = Disk()
