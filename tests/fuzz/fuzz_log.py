"""Any octets as a segment file give a prefix of batches or ``CorruptLog``, within its own size.

The first octet of an input says how the rest is taken: even, as it is; odd, as a segment whose
checksums, chain and lengths are made right first, so that the decoder behind them is reached.

    python -m tests.fuzz.fuzz_log --seeds DIRECTORY     write inputs to start from
    python -m tests.fuzz.fuzz_log DIRECTORY [libFuzzer options]

A tidy prefix is also a log: what was recovered is recovered again, and a batch can follow it.
"""

import sys
import zlib
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["broker.wal"]):
    from broker.wal import Batch, CorruptLog, Log
    from broker.wal import frame as frame_format
    from broker.wal.frame import FRAME, HEADER
from tests.faults import File, MemoryDisk
from tests.wal.owner import DIRECTORY, Owner, call_now


def repair(octets: bytes) -> bytes:
    """The same segment with all that is checked before a payload made right."""
    if len(octets) < HEADER.size:
        return octets
    _, _, first_batch, salt, chain, _ = HEADER.unpack_from(octets)
    first_batch %= 1 << 62
    made, chain = frame_format.encode_header(first_batch + 1, salt, chain)
    at, number = HEADER.size, first_batch + 1
    while len(octets) - at >= FRAME.size:
        _, flags, _, durable, length, *_ = FRAME.unpack_from(octets, at)
        length = min(length, len(octets) - at - FRAME.size)
        payload = octets[at + FRAME.size :][:length]
        is_first = number == first_batch + 1
        flags = frame_format.SNAPSHOT if is_first else flags & 2
        frame, chain = frame_format.encode_frame(number, durable, payload, chain, salt, flags)
        made += frame + payload
        at += FRAME.size + length
        number += 1
    return made + octets[at:]


def recover(disk: MemoryDisk) -> tuple[list[Batch], Log]:
    """Open a log; the batches it gave."""
    batches: list[Batch] = []
    log = Log.open(
        DIRECTORY,
        replay=batches.append,
        snapshot=list,
        on_durable=lambda number: None,
        on_failure=lambda error: None,
        call_in_loop=call_now,
        disk=disk,
        clock=lambda: 0.0,
    )
    return batches, log


def run(data: bytes) -> None:
    """One input."""
    octets = data[1:]
    if data[:1] and data[0] & 1:
        octets = repair(octets)
    first_batch = 1
    if len(octets) >= HEADER.size:
        first_batch = HEADER.unpack_from(octets)[2]
    name = frame_format.segment_name(first_batch)
    disk = MemoryDisk()
    disk.names[f"{DIRECTORY}/{name}"] = File(octets)
    try:
        batches, log = recover(disk)
    except CorruptLog as refusal:
        assert 0 <= refusal.offset <= len(octets)  # noqa: PT017
        return
    numbers = [batch.number for batch in batches]
    if frame_format.segment_names([name]):
        assert numbers == list(range(first_batch, first_batch + len(numbers)))
    held = 0
    for batch in batches:
        held += sum(map(len, batch.operations)) + sum(batch.content_length)
        held += 24 * len(batch.publish_id) + 20 * len(batch.counts)
        held += sum(12 + 8 * len(message_ids) for _, message_ids in batch.settles)
        held += sum(len(address) + 8 + 8 * len(ids) for address, ids in batch.routes)
    assert held <= len(octets)
    if batches:
        log.retain(batches[0].number, 1)
    log.operation(b"after")
    log.commit()
    again, _ = recover(disk.copy())
    assert again[: len(batches)] == batches
    assert again[-1].operations == [b"after"]


def write_seeds(directory: Path) -> None:
    """A few real segments, in both ways of taking them."""
    directory.mkdir(parents=True, exist_ok=True)
    disk = MemoryDisk()
    owner = Owner(disk, segment_bytes=1500, random=Random(1).randbytes)
    one, two = owner.declare(), owner.declare()
    for number in range(12):
        message = owner.publish([one, two] if number % 2 else [one], bytes(number * 7))
        owner.count(one, message)
        if number % 3 == 0:
            owner.settle(one, [message])
        owner.commit()
    for name in frame_format.segment_names(disk.list_directory(DIRECTORY)):
        octets = bytes(disk.names[f"{DIRECTORY}/{name}"].current).rstrip(b"\0")
        for way in (b"\0", b"\1"):
            seed = way + octets
            (directory / f"{zlib.crc32(seed):08x}").write_bytes(seed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seeds"]:
        write_seeds(Path(sys.argv[2]))
    else:
        atheris.Setup(sys.argv, run)
        atheris.Fuzz()
