"""Messages between the site and a child process that runs a model: a JSON header and raw tensors over a socket.

A frame is the length of the header and of what follows it (little-endian, 4 and 8 bytes), the header, and the tensors
in the wire form of the binary tensor data extension. Both ends are ours; lengths are bounded all the same.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from inference.serving import binary
from inference.serving.datatypes import DATATYPES, Tensors
from inference.serving.signature import TensorSpec

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_PAYLOAD_BYTES = 2 * 1024**3

_PREFIX = struct.Struct("<IQ")
# Below this, one call to the system is worth a copy.
_JOIN_BYTES = 256 * 1024


class Hangup(Exception):
    """The other end is gone."""


def send(
    connection: socket.socket,
    header: dict[str, Any],
    tensors: Tensors | None = None,
    specs: Mapping[str, TensorSpec] | None = None,
) -> None:
    """Send one message. Raises Hangup, TimeoutError, and ValueError for one that is too large."""
    parts: list[bytes] = []
    if tensors is not None and specs is not None:
        parts = [binary.encode(tensor, specs[name].datatype) for name, tensor in tensors.items()]
        header["tensors"] = [
            (name, tensor.shape, len(part))
            for (name, tensor), part in zip(tensors.items(), parts, strict=True)
        ]
    encoded = orjson.dumps(header)
    size = sum(map(len, parts))
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError(f"{size} bytes of tensors are more than a model's process takes")
    start = _PREFIX.pack(len(encoded), size) + encoded
    try:
        if size <= _JOIN_BYTES:
            connection.sendall(b"".join((start, *parts)))
        else:
            for part in (start, *parts):
                connection.sendall(part)
    except TimeoutError:
        raise
    except OSError as error:
        raise Hangup from error


def receive(
    connection: socket.socket, specs: Mapping[str, TensorSpec] | None = None
) -> tuple[dict[str, Any], Tensors]:
    """The next message. Raises Hangup, TimeoutError, and ValueError for one that is malformed."""
    header_size, payload_size = _PREFIX.unpack(_exactly(connection, _PREFIX.size))
    if header_size > MAX_HEADER_BYTES or payload_size > MAX_PAYLOAD_BYTES:
        raise ValueError("a message is larger than any may be")
    header = orjson.loads(_exactly(connection, header_size))
    payload = memoryview(_exactly(connection, payload_size))
    tensors: Tensors = {}
    position = 0
    for name, shape, size in header.get("tensors", ()):
        count = 1
        for dimension in shape:
            count *= dimension
        part = payload[position : position + size]
        position += size
        flat = binary.decode(part, DATATYPES[(specs or {})[name].datatype], count)
        tensors[name] = (flat if flat.flags.aligned else flat.copy()).reshape(shape)
    return header, tensors


def _exactly(connection: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        try:
            count = connection.recv_into(view[filled:])
        except TimeoutError:
            raise
        except OSError as error:
            raise Hangup from error
        if not count:
            raise Hangup
        filled += count
    return buffer
