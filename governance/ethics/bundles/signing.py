"""Signing the files of a bundle and verifying them, also far from the site that signed: needs no database.

Each file has a detached signature beside it, a small JSON document `NAME.sig` over exactly the file's bytes. The ZIP is
deterministic, so that the same state of the house gives the same archive where the key's scheme is deterministic
(Ed25519 is).
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature, Signer, SSlibKey

KEY = "evidence"
FORMAT = "openclaw-evidence-signature-1"
SUFFIX = ".sig"
LONGEST_BYTES = 64 << 20
MOST_FILES = 20
_EPOCH = (1980, 1, 1, 0, 0, 0)


class NotGenuine(ValueError):
    """A bundle that is not what was signed. The message says which file and why."""


def sign(name: str, data: bytes, signer: Signer) -> bytes:
    """The detached signature of one file."""
    made = signer.sign(data)
    document = {
        "format": FORMAT,
        "file": name,
        "sha256": sha256(data).hexdigest(),
        "key": {"keyid": made.keyid, **signer.public_key.to_dict()},
        "signature": made.signature,
    }
    return (json.dumps(document, sort_keys=True, indent=2) + "\n").encode()


def archive(files: Mapping[str, bytes], signer: Signer) -> bytes:
    """A ZIP of the files with their signatures."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name in sorted(files):
            for path, data in ((name, files[name]), (name + SUFFIX, sign(name, files[name], signer))):
                entry = zipfile.ZipInfo(path, date_time=_EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                made.writestr(entry, data)
    return out.getvalue()


def verify_file(name: str, data: bytes, signature: bytes, keys: Iterable[Key]) -> str:
    """The id of the trusted key that signed exactly these bytes. Raises NotGenuine."""
    try:
        document = json.loads(signature)
        signed = Signature(document["key"]["keyid"], document["signature"])
        told = (document["format"], document["file"], document["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotGenuine(f"{name}{SUFFIX} is no signature") from error
    if told != (FORMAT, name, sha256(data).hexdigest()):
        raise NotGenuine(f"{name} is not the file that was signed")
    key = next((key for key in keys if key.keyid == signed.keyid), None)
    if key is None:
        raise NotGenuine(f"{name} was signed by a key that is not trusted: {str(signed.keyid)[:64]}")
    try:
        key.verify_signature(signed, data)
    except (UnverifiedSignatureError, VerificationError, ValueError, TypeError) as error:
        raise NotGenuine(f"the signature of {name} does not hold") from error
    return key.keyid


def verify_archive(data: bytes, keys: Iterable[Key]) -> dict[str, bytes]:
    """The signed files of a bundle. Every file must be signed by a trusted key. Raises NotGenuine."""
    keys = list(keys)
    try:
        with zipfile.ZipFile(BytesIO(data)) as found:
            entries = found.infolist()
            names = [entry.filename for entry in entries]
            if len(names) > MOST_FILES or sum(entry.file_size for entry in entries) > LONGEST_BYTES:
                raise NotGenuine("the archive is larger than any bundle")
            if len(set(names)) != len(names):
                raise NotGenuine("the archive holds a file twice")
            contents = {name: found.read(name) for name in names}
    except NotGenuine:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, RuntimeError, EOFError) as error:
        raise NotGenuine("it is no readable ZIP archive") from error
    files = {name: content for name, content in contents.items() if not name.endswith(SUFFIX)}
    if not files or set(contents) != {*files, *(name + SUFFIX for name in files)}:
        raise NotGenuine("a file without a signature, or a signature without a file")
    for name, content in files.items():
        verify_file(name, content, contents[name + SUFFIX], keys)
    return files


def key_document(key: Key) -> dict[str, Any]:
    """A public key as it is handed to whoever verifies elsewhere."""
    return {"keyid": key.keyid, **key.to_dict()}


def read_key(document: Any) -> Key:
    """The key of a `key_document`. Raises ValueError."""
    try:
        given = dict(document)
        return SSlibKey.from_dict(str(given.pop("keyid")), given)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError("this is no public key of a bundle") from error
