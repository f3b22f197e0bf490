"""The ways a log fails. None of them is ever retried: each stops the broker with a reason."""


class WalError(Exception):
    """Base of what this package raises."""


class LogFailed(WalError):
    """A write or sync failed: what the disk holds is unknown, so nothing more is promised.

    After a failed sync Linux marks the lost pages clean; a second sync would "succeed".
    """


class DirectoryInUse(WalError):
    """Another process has this log open."""


class UnknownVersion(WalError):
    """Another version of the broker wrote this log, in a format that this one does not read."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(f"the log has format version {found}, and this broker reads {known}")
        self.is_newer = found > known


class CorruptLog(WalError):
    """The log is damaged in a place where an interrupted write cannot be the cause."""

    def __init__(self, file: str, offset: int, reason: str) -> None:
        super().__init__(f"{file}, offset {offset}: {reason}")
        self.file = file
        self.offset = offset
        self.reason = reason
