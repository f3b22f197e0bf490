"""Durability: one ordered log of everything that must survive, made durable batch by batch.

Everything gathered between two commits is one batch: one frame, one write, one sync. While a
write is in flight the next batch gathers; there is no timer and no batch size to set. Bytes and
integers go in; what an operation, an address or a content means is the caller's business.

Files of a log directory
========================

    lock                          held with flock by the process that has the log open
    00000000000000000042.log      a segment, named after its first batch
    bounds                        which segments are the first and the last: `broker.wal.bounds`
    00000000000000000007.spare    an old segment, to be written over: at most two
    00000000000000000043.new      a segment that was being created; of no value
    00000000000000000042.index    what is in a segment but for what its messages hold: a help, see
                                  `broker.wal.index`
    (segment).(offset).broken     a torn tail that recovery cut off, for a curious operator

All integers are little endian, without padding.

    segment   header, then frames, then whatever was in the file before
    header    magic 8s "LEVERET\\n" | version u32 | first batch u64 | salt u32 | chain u32 |
              crc u32; the same in every version, so that each can tell another from damage
              crc: CRC-32 of the fields before it. chain: the crc of the log's last frame before
              this segment, so that a segment lost, swapped or cut short is noticed.
    frame     salt u32 | flags u32 | batch u64 | durable u64 | length u64 | chain u32 |
              payload crc u32 | crc u32, then `length` octets of payload, then 44 zero octets
              that the next frame overwrites.
              crc: CRC-32 of the fields before it. chain: the crc of the frame before (of the
              segment header, for a first frame). durable: the last batch known to be durable
              when this one was written. flags: 1 = snapshot. The salt is the segment's, drawn at
              random: it makes old frames in a recycled file unreadable, and clients cannot
              publish what looks like a frame.
    payload   seven counts u32, then columns: see `broker.wal.record`.

Invariants
==========

1. Batch numbers are consecutive through the whole log. Number 0 is never used.
2. A segment begins with a snapshot batch: the operations that rebuild the topology as it was
   after the batch before. Any suffix of the segments is therefore a complete log. A segment
   gets its name only when header and snapshot are durable.
3. One batch is in flight at a time and a batch is confirmed only when its sync has returned. So
   only the last frame of the last segment can be torn. Damage there, with no frame after it that
   was written when it was durable already, is cut off; any other damage is `CorruptLog`.
4. Segments go from the head only, when no message in them is live and the records that say so
   are durable. A settle is never deleted before the message it settles.
5. An old tail is never appended to: each opening starts a new segment.
6. After a failed write or sync nothing is written or confirmed any more: `LogFailed`.

Live data
=========

A message in k queues counts k references on the batch that holds it. `publish` adds them,
`settle` and `release` take them away, `retain` states them after recovery. A message that pins an
old segment may be published again under its id, for the queues that still hold it, and then its
old references are released ("copy forward"; `Log.stale_batches` tells which). A replay may
therefore meet a message id twice: it is the same message, and the later copy names its queues.

Within a batch the order of application is: operations, publishes, counts, settles.
"""

from broker.wal.disk import REAL_DISK, Disk
from broker.wal.errors import CorruptLog, DirectoryInUse, LogFailed, UnknownVersion, WalError
from broker.wal.log import Log
from broker.wal.record import Batch
from broker.wal.scratch import Scratch

__all__ = [
    "REAL_DISK",
    "Batch",
    "CorruptLog",
    "DirectoryInUse",
    "Disk",
    "Log",
    "LogFailed",
    "Scratch",
    "UnknownVersion",
    "WalError",
]
