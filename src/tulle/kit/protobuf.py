"""Putting messages together from parts that are serialised already.

The encoding of a message is the concatenation of the encodings of its fields (protobuf.dev, "Encoding",
"Message Structure"), so a field that is bytes can be joined to others without being read.
"""

from __future__ import annotations

_SMALL = tuple(bytes((number,)) for number in range(0x80))


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SMALL[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def length_delimited(tag: int, content: bytes) -> bytes:
    """A field that holds a message, a text or bytes."""
    return _varint(tag << 3 | 2) + _varint(len(content)) + content
