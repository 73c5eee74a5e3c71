"""Data that lies in object storage: only in the buckets and below the prefixes that the operator lends a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from governance.errors import InvalidInput, Unavailable

SCHEME = "s3"


class Unreadable(OSError):
    """The object cannot be had, and asking again will not help; the message is for the person who registered it."""


@dataclass(frozen=True, slots=True)
class Lent:
    """A bucket (all of it, or what lies below a prefix that ends in `/`) that one tenant's datasets may lie in."""

    tenant: str
    bucket: str
    prefix: str = ""

    def holds(self, tenant: str, bucket: str, key: str) -> bool:
        """Whether this lends the object to the tenant."""
        return (self.tenant, self.bucket) == (tenant, bucket) and key.startswith(self.prefix)


def require_lent(location: str, tenant: str) -> tuple[str, str]:
    """Bucket and key of an address, where the operator lends its place to the tenant (known by its short name).

    Raises InvalidInput, in the same words for what is not lent and what is there for somebody else.
    """
    parts = urlsplit(location)
    bucket, key = parts.netloc, parts.path.removeprefix("/")
    plain = parts.scheme == SCHEME and bucket and not (parts.query or parts.fragment)
    steps = key.split("/")
    if (
        not plain
        or not all(steps)
        or {".", ".."} & set(steps)
        or not any(Lent(*lent).holds(tenant, bucket, key) for lent in settings.OPENCLAW_DATA_BUCKETS)
    ):
        raise InvalidInput(
            _("“%(location)s” lies in no bucket that may be read for this tenant.")
            % {"location": location[:100]},
            hint=_("The site's operator names the buckets in OPENCLAW_DATA_BUCKETS."),
        )
    return bucket, key


def open_object(location: str, tenant: str) -> BinaryIO:
    """A reader of one object, all of it in the same version. Raises InvalidInput, Unreadable, Unavailable.

    No address of a person's is ever spoken to: the service is the configured one, and only the key is theirs.
    """
    from governance.keys.bucket import BucketPlace, refused  # boto is large, and few processes read a bucket

    bucket, key = require_lent(location, tenant)
    try:
        place = BucketPlace(**settings.OPENCLAW_DATA_S3, bucket_name=bucket)
        return cast(BinaryIO, place.open_raw(key))
    except FileNotFoundError:
        raise Unreadable(_("There is no object at “%(location)s”.") % {"location": location}) from None
    except Unavailable as error:
        if refused(error):
            raise Unreadable(
                _("The storage does not let this site read “%(location)s”.") % {"location": location}
            ) from error
        raise
