"""What an operator can do about an error of the disk or the log, in a few words.

Such an error ends the broker or keeps it from starting; what is on the disk stays as it is.
"""

from __future__ import annotations

import errno

from broker.wal import CorruptLog, DirectoryInUse, UnknownVersion

_BY_ERRNO = {
    errno.ENOSPC: "free some disk space and start the broker again",
    errno.EDQUOT: "raise the quota or free some disk space, and start the broker again",
    errno.EROFS: "find out in the kernel's log why the file system is read-only, and start again",
    errno.EACCES: "let the user that runs the broker read and write there",
    errno.EPERM: "let the user that runs the broker read and write there",
    errno.EMFILE: "raise the limit of open files (LimitNOFILE, ulimit -n)",
    errno.ENFILE: "raise the limit of open files of the whole system (fs.file-max)",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f)",
    errno.ENOTDIR: "choose a directory with leveret.data_dir",
    errno.EEXIST: "choose a directory with leveret.data_dir",
}
_FAILED_DISK = (
    "see what the kernel's log says about the disk; if the disk is going to fail, copy the data "
    "directory to another one before starting again"
)
_CORRUPT = (
    "restore the whole data directory from a copy; or see what can be read of it with "
    "`leveret log verify` and `leveret log dump`, and start with another one (leveret.data_dir)"
)


def advice(error: BaseException) -> str:
    """What to do now."""
    match error:
        case DirectoryInUse():
            return "stop that broker, or give this one its own directory with leveret.data_dir"
        case UnknownVersion(is_newer=True):
            return "start the newer Leveret that wrote it, or use another leveret.data_dir"
        case UnknownVersion():
            return "drain it with the older Leveret that wrote it, or use another leveret.data_dir"
        case CorruptLog():
            return _CORRUPT
    if isinstance(error.__cause__, CorruptLog):
        return _CORRUPT
    cause = error if isinstance(error, OSError) else error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return _BY_ERRNO.get(number or 0, _FAILED_DISK)
