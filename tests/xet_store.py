"""What the hub keeps of uploads by Xet: chunks, taken apart and put together as the protocol says.

huggingface.co/docs/xet: a xorb is a row of compressed chunks, a shard says which chunks of which xorbs make a file.
"""

import hashlib
import struct
from dataclasses import dataclass, field

RECORD = 48  # bytes, of everything in a shard
WITH_VERIFICATION, WITH_SHA256 = 1 << 31, 1 << 30


@dataclass(frozen=True)
class Chunk:
    """One chunk of a xorb: where its bytes stand, header and all, and what they hold."""

    start: int
    end: int
    content: bytes


@dataclass(frozen=True)
class Segment:
    """Chunks `first` to `last` (not with it) of a xorb, which are `size` bytes of a file."""

    xorb: str
    size: int
    first: int
    last: int


@dataclass
class XetStore:
    """Xorbs by their hash, and files: what they are made of, by their Xet hash, and that by the sha256 of the file."""

    xorbs: dict[str, bytes] = field(default_factory=dict)
    segments: dict[str, list[Segment]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    def add_shard(self, shard: bytes) -> dict[str, bytes]:
        """Keep what a shard says of files; their contents by sha256."""
        found, place = {}, RECORD
        while shard[place : place + 32] != b"\xff" * 32:
            name, flags, count = hash_text(shard[place:]), *struct.unpack_from("<II", shard, place + 32)
            entries = range(place + RECORD, place + RECORD * (count + 1), RECORD)
            self.segments[name] = [
                Segment(hash_text(shard[entry:]), *struct.unpack_from("<III", shard, entry + 36)) for entry in entries
            ]
            place += RECORD * (1 + count + (count if flags & WITH_VERIFICATION else 0))
            content = b"".join(self.content(segment) for segment in self.segments[name])
            assert flags & WITH_SHA256, "the hub needs it: it is how a commit names the file"
            sha256 = hash_text(shard[place:])
            assert sha256 == hashlib.sha256(content).hexdigest()
            found[sha256] = content
            self.hashes[sha256] = name
            place += RECORD
        return found

    def content(self, segment: Segment) -> bytes:
        found = b"".join(chunk.content for chunk in chunks(self.xorbs[segment.xorb])[segment.first : segment.last])
        assert len(found) == segment.size
        return found

    def reconstruction(self, name: str, url: str) -> dict:
        """What the client needs to put a file together: its segments, and where their bytes are to be had."""
        terms, fetch = [], {}
        for segment in self.segments[name]:
            span = {"start": segment.first, "end": segment.last}
            row = chunks(self.xorbs[segment.xorb])[segment.first : segment.last]
            terms.append({"hash": segment.xorb, "unpacked_length": segment.size, "range": span})
            url_range = {"start": row[0].start, "end": row[-1].end - 1}
            fetch.setdefault(segment.xorb, []).append(
                {"range": span, "url": f"{url}/{segment.xorb}", "url_range": url_range}
            )
        return {"offset_into_first_range": 0, "terms": terms, "fetch_info": fetch}


def hash_text(digest: bytes) -> str:
    """A hash as it stands in addresses: four little-endian numbers in hexadecimal."""
    return "".join(f"{number:016x}" for number in struct.unpack_from("<4Q", digest))


def chunks(xorb: bytes) -> list[Chunk]:
    """The chunks of a xorb."""
    found, place = [], 0
    while place < len(xorb):
        packed, kind = int.from_bytes(xorb[place + 1 : place + 4], "little"), xorb[place + 4]
        size = int.from_bytes(xorb[place + 5 : place + 8], "little")
        body = xorb[place + 8 : place + 8 + packed]
        content = body if kind == 0 else lz4(body) if kind == 1 else ungrouped(lz4(body))
        assert len(content) == size
        found.append(Chunk(place, place + 8 + packed, content))
        place += 8 + packed
    return found


def ungrouped(content: bytes) -> bytes:
    """Every fourth byte stood together: weights are compressed better so."""
    result, place = bytearray(len(content)), 0
    for first in range(4):
        count = len(range(first, len(content), 4))
        result[first::4] = content[place : place + count]
        place += count
    return bytes(result)


def lz4(frame: bytes) -> bytes:
    """An LZ4 frame of independent blocks without checksums, which is what the client writes."""
    assert (frame[:4], frame[4]) == (b"\x04\x22\x4d\x18", 0x60)
    result, place = b"", 7
    while size := int.from_bytes(frame[place : place + 4], "little"):
        block = frame[place + 4 : place + 4 + (size & 0x7FFFFFFF)]
        result += block if size >> 31 else lz4_block(block)
        place += 4 + len(block)
    return result


def lz4_block(block: bytes) -> bytes:
    result, place = bytearray(), 0

    def length(first: int) -> int:
        nonlocal place
        while first >= 15 and (first - 15) % 255 == 0:
            first += block[place]
            place += 1
            if block[place - 1] < 255:
                break
        return first

    while True:
        token = block[place]
        place += 1
        literals = length(token >> 4)
        result += block[place : place + literals]
        place += literals
        if place >= len(block):
            return bytes(result)
        distance = int.from_bytes(block[place : place + 2], "little")
        place += 2
        for _ in range(length(token & 15) + 4):
            result.append(result[-distance])
