"""Keys in a PKCS#11 token: a hardware security module by its vendor's library, or SoftHSM.

Wrapping keys are AES-256 token objects, sensitive and not extractable; signing keys are ECDSA P-256, which every module
knows. Nonces come from the operating system and are given to the token.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.db import connection, transaction
from django.utils.translation import gettext as _
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    EncryptedDataInvalid,
    EncryptedDataLenRange,
    GeneralError,
    NoSuchKey,
    PKCS11Error,
)
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from governance.keys.errors import Altered, KeysUnavailable, UnknownKey
from governance.keys.providers.base import ProviderStatus, checked_name
from governance.keys.providers.connection import TokenAddress, TokenConnection
from governance.keys.providers.software import SoftwareKeyProvider

T = TypeVar("T")

NONCE_BYTES = 12
TAG_BITS = 128
KEY_BITS = 256
MAX_HANDLES = 1024
# What a token says of ciphertext that does not fit. SoftHSM has no better word than a general error; of any other
# token that is a fault of the device, which must not read as data that somebody altered.
NOT_AUTHENTIC = (EncryptedDataInvalid, EncryptedDataLenRange)
SOFTHSM = "SoftHSM"
# The signed repository's clients trust the keys that its root metadata names. Those that were made as files before
# there was a token stay in use until the root names others.
CARRIED_ON = "tuf-"


class PKCS11Provider:
    """The provider interface over one token. `files` is where keys lay before there was a token."""

    name = "pkcs11"

    def __init__(self, address: TokenAddress, files: SoftwareKeyProvider) -> None:
        self._token = TokenConnection(address)
        self._files = files
        self._handles: dict[str, Any] = {}
        self._handles_of = 0
        self._public: dict[str, Key] = {}

    @property
    def label(self) -> str:
        facts = self._token.facts
        if facts is None:
            return _("PKCS#11 token")
        return _("PKCS#11 token “%(label)s” (%(maker)s %(model)s)") % {
            "label": facts.label,
            "maker": facts.manufacturer,
            "model": facts.model,
        }

    @property
    def is_hardware(self) -> bool:
        facts = self._token.facts
        return facts is not None and facts.is_hardware

    def create_wrapping_key(self, name: str) -> None:
        """Make an AES-256 key that cannot leave the token. Raises ValueError when there is one of that name."""
        label = checked_name(name)

        def create(session: Any) -> None:
            if any(session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label})):
                raise ValueError(f"there is a wrapping key {name!r} already")
            session.generate_key(
                KeyType.AES,
                KEY_BITS,
                label=label,
                id=os.urandom(16),
                store=True,
                template={
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.PRIVATE: True,
                    Attribute.ENCRYPT: True,
                    Attribute.DECRYPT: True,
                    Attribute.WRAP: False,
                    Attribute.UNWRAP: False,
                },
            )

        self._run(create)

    def destroy_wrapping_key(self, name: str) -> None:
        """Erase the key in the token; one that is gone already is no error."""
        label = checked_name(name)

        def destroy(session: Any) -> None:
            self._handles.pop(label, None)
            for key in list(
                session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label})
            ):
                key.destroy()

        self._run(destroy)
        # Nothing found and nothing there look alike to some tokens.
        if not self._present():
            raise KeysUnavailable("the token is not there")

    def wrap(self, name: str, data_key: bytes, aad: bytes) -> bytes:
        """The data key under the wrapping key."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._with_key(
            name,
            lambda key: key.encrypt(
                data_key, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, aad, TAG_BITS)
            ),
        )
        return nonce + bytes(sealed)

    def unwrap(self, name: str, wrapped: bytes, aad: bytes) -> bytes:
        """Undo `wrap`. Raises UnknownKey or Altered."""
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]

        def decrypt(key: Any) -> Any:
            parameters = GCMParams(nonce, aad, TAG_BITS)
            return key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=parameters)

        return bytes(self._with_key(name, decrypt, opens=True))

    def signer(self, name: str) -> Signer:
        """The signer called `name`; its key is made in the token at the first use."""
        if self._in_file(name):
            return self._files.signer(name)
        return TokenSigner(self, name, self.public_key(name))

    def public_key(self, name: str) -> Key:
        """The public part of the key called `name`."""
        if self._in_file(name):
            return self._files.public_key(name)
        if name not in self._public:
            self._public[name] = self._run(lambda s: _find_public(s, checked_name(name))) or self._make(name)
        return self._public[name]

    def sign(self, name: str, payload: bytes) -> bytes:
        """An ECDSA signature (DER) of the payload's SHA-256. Raises UnknownKey or KeysUnavailable."""
        digest = hashlib.sha256(payload).digest()

        def sign(session: Any) -> bytes:
            key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=checked_name(name))
            return bytes(key.sign(digest, mechanism=Mechanism.ECDSA))

        raw = self._run(sign)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def status(self) -> ProviderStatus:
        """Ask the token, and name what still lies in files."""
        try:
            present = self._present()
        except KeysUnavailable as error:
            return ProviderStatus(False, error.detail)
        if not present:
            return ProviderStatus(False, _("The token is not in its slot."))
        warnings = []
        if names := self._files.signing_keys(CARRIED_ON):
            warnings.append(
                _("Signing keys that were made before there was a token are still files: %(names)s.")
                % {"names": ", ".join(names)}
            )
        return ProviderStatus(True, "", tuple(warnings))

    def _present(self) -> bool:
        return self._mapped(self._token.present)

    def _in_file(self, name: str) -> bool:
        return name.startswith(CARRIED_ON) and self._files.has_signing_key(checked_name(name))

    def _make(self, name: str) -> Key:
        """Make a signing key; of several processes that do so at once, one does and the others find it."""
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"signing key {name}"]
                )
            return self._run(lambda s: _find_public(s, name) or _generate_pair(s, name))

    def _with_key(self, name: str, use: Callable[[Any], T], *, opens: bool = False) -> T:
        label = checked_name(name)

        def work(session: Any) -> T:
            if self._handles_of != self._token.begun or len(self._handles) > MAX_HANDLES:
                self._handles, self._handles_of = {}, self._token.begun
            key = self._handles.get(label)
            if key is None:
                key = self._handles[label] = session.get_key(object_class=ObjectClass.SECRET_KEY, label=label)
            return use(key)

        return self._run(work, opens=opens)

    def _run(self, work: Callable[[Any], T], *, opens: bool = False) -> T:
        return self._mapped(lambda: self._token.run(work), opens=opens)

    def _mapped(self, call: Callable[[], T], *, opens: bool = False) -> T:
        """Errors of the vendor's library, each as what it means here; their text goes nowhere.

        `opens` says that the call opens bytes, which may turn out not to be authentic.
        """
        try:
            return call()
        except NoSuchKey as error:
            raise UnknownKey from error
        except PKCS11Error as error:
            if opens and isinstance(error, self._not_authentic()):
                raise Altered from error
            raise KeysUnavailable(f"the token answers {type(error).__name__}") from error

    def _not_authentic(self) -> tuple[type[PKCS11Error], ...]:
        """The errors by which this token says that bytes are not authentic."""
        facts = self._token.facts
        is_softhsm = facts is not None and facts.manufacturer.startswith(SOFTHSM)
        return (*NOT_AUTHENTIC, GeneralError) if is_softhsm else NOT_AUTHENTIC


class TokenSigner(Signer):
    """Signs with a key in the token, as securesystemslib and The Update Framework want it."""

    def __init__(self, place: PKCS11Provider, name: str, public_key: Key) -> None:
        self._place = place
        self._name = name
        self._public_key = public_key

    @property
    def public_key(self) -> Key:
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> TokenSigner:
        """Not by URI: only the provider, which knows token and PIN, makes these."""
        raise ValueError("signers of the token come from its provider")

    def sign(self, payload: bytes) -> Signature:
        """Sign with ECDSA P-256 and SHA-256."""
        return Signature(self._public_key.keyid, self._place.sign(self._name, payload).hex())


def _find_public(session: Any, name: str) -> Key | None:
    """The public key of that name; should there be several, the same one for everybody."""
    found = session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: name})
    keys = sorted(found, key=lambda key: bytes(key.id))
    return _public(keys[0]) if keys else None


def _generate_pair(session: Any, name: str) -> Key:
    curve = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    public, _private = curve.generate_keypair(
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        store=True,
        label=name,
        id=os.urandom(16),
        public_template={Attribute.VERIFY: True},
        private_template={
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.PRIVATE: True,
            Attribute.SIGN: True,
        },
    )
    return _public(public)


def _public(key: Any) -> Key:
    return SSlibKey.from_crypto(load_der_public_key(encode_ec_public_key(key)))
