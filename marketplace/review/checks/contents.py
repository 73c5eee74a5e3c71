"""Tell what a file really is, by its bytes: formats that run code when they are opened, whatever they are called."""

from __future__ import annotations

import ast
import pickletools
import re
import zlib
from pathlib import Path

_HEAD = 1 << 16
_MAX_TEXT_PICKLE = 4 << 20
_MAX_OPCODES = 100_000  # so many valid opcodes in a row are no accident
# Opcodes by which a pickle names or calls something; a text pickle without them is only data.
_CALLS = {
    "GLOBAL",
    "STACK_GLOBAL",
    "INST",
    "OBJ",
    "NEWOBJ",
    "NEWOBJ_EX",
    "REDUCE",
    "BUILD",
    "EXT1",
    "EXT2",
    "EXT4",
}
_PICKLE = "pickle"
_MACHO = {
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
}
_HDF5_OFFSETS = (0, 512, 1024, 2048)

# What each kind is called in a sentence to the publisher.
KINDS = {
    _PICKLE: "a Python pickle (also used by joblib and by old PyTorch files)",
    "zip": "a ZIP file (as PyTorch, Keras and NumPy .npz files are)",
    "numpy-object": "a NumPy array of Python objects",
    "hdf5": "an HDF5 file (Keras .h5)",
    "bytecode": "Python bytecode",
    "elf": "a Linux program or library",
    "pe": "a Windows program or library",
    "macho": "a macOS program or library, or Java bytecode",
    "wasm": "a WebAssembly program",
}


def dangerous_kind(path: Path) -> str:
    """Return a key of `KINDS` if the bytes of `path` are such a format, else the empty string."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if any(head[offset : offset + 8] == b"\x89HDF\r\n\x1a\n" for offset in _HDF5_OFFSETS):
        return "hdf5"
    if head.startswith(b"\x7fELF"):
        return "elf"
    if head[:4] in _MACHO:
        return "macho"
    if head.startswith(b"\0asm"):
        return "wasm"
    if head.startswith(b"MZ") and len(head) > 64:
        offset = int.from_bytes(head[60:64], "little")
        if head[offset : offset + 4] == b"PE\0\0" or len(head) <= offset:
            return "pe"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    # CPython since 3.0: a 16-bit number near 3000-3700, then CR LF.
    if head[2:4] == b"\r\n" and 3000 <= int.from_bytes(head[:2], "little") < 4200 and len(head) >= 16:
        return "bytecode"
    if head.startswith(b"\x93NUMPY"):
        return "numpy-object" if _has_objects(head) else ""
    return _PICKLE if _is_pickle(head, path) else ""


def _has_objects(head: bytes) -> bool:
    match = re.search(rb"\{.*?\}", head[:4096], re.DOTALL)
    try:
        header = ast.literal_eval(match[0].decode("latin-1")) if match else {}
        return "O" in str(header["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        return True  # cannot be read, so cannot be shown to be harmless


def _is_pickle(head: bytes, path: Path) -> bool:
    if head.startswith(b"ZF") and re.match(rb"ZF0x[0-9a-f ]", head):
        return True  # joblib's old compressed form
    if head[:1] == b"x" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        try:
            head = zlib.decompressobj().decompress(head, 4096)
        except zlib.error:
            return False
        return _begins_as_pickle(head)
    if _begins_as_pickle(head):
        return True
    return path.stat().st_size <= _MAX_TEXT_PICKLE and _is_text_pickle(path.read_bytes())


def _begins_as_pickle(head: bytes) -> bool:
    """Say whether `head` begins with PROTO 2 to 5 and at least two more valid opcodes."""
    if len(head) < 4 or head[0] != 0x80 or not 2 <= head[1] <= 5:
        return False
    count = 0
    try:
        for opcode, _, _ in pickletools.genops(head):
            count += 1
            if count > 3 or opcode.name == "STOP":
                return True
    except Exception:  # noqa: BLE001 - pickletools raises many kinds on bytes that are not its own
        return count >= 2
    return True


def _is_text_pickle(data: bytes) -> bool:
    """Say whether `data` is a whole pickle of protocol 0 or 1 that names or calls something."""
    if not data.rstrip(b"\r\n").endswith(b"."):
        return False
    names, count = set(), 0
    try:
        for opcode, _, _ in pickletools.genops(data):
            names.add(opcode.name)
            count += 1
            if count > _MAX_OPCODES:
                return True
    except Exception:  # noqa: BLE001 - as above
        return False
    return bool(names & _CALLS)
