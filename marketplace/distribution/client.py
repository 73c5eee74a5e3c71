"""Downloading from the signed repository as any client does: with the stock TUF client, which verifies everything."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    RepositoryError,
)
from tuf.ngclient import FetcherInterface, Updater

from governance.errors import Conflict, NotFound, Unavailable
from governance.keys.providers import provider
from marketplace.distribution.repository import Repository

CHUNK = 1 << 16


def site_repository() -> Repository:
    """This site's own repository."""
    return Repository(Path(settings.OPENCLAW_VAR) / "tuf", provider())


def repository_file(kind: str, name: str) -> Path | None:
    """The file that `/tuf/<kind>/<name>` means, or None: only the public folders, no drafts or links."""
    if kind not in ("metadata", "targets"):
        return None
    root = Path(settings.OPENCLAW_VAR) / "tuf" / kind
    parts = name.split("/")
    if any(not part or part.startswith(".") or "\\" in part or "\x00" in part for part in parts):
        return None
    path = root.joinpath(*parts)
    if path.is_symlink() or not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
        return None
    return path


class FileFetcher(FetcherInterface):
    """Reads what the site would serve straight from its folder: for tests without a web server."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        _empty, _tuf, kind, name = unquote(urlsplit(url).path).split("/", 3)
        path = repository_file(kind, name)
        if path is None:
            raise DownloadHTTPError("not found", 404)
        return _chunks(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def download_verified(target_path: str, dest: Path, *, sha256: str = "") -> None:
    """Fetch a target into the new file `dest`, its signatures, versions, expiry, length and digest verified.

    Goes over the site's public address, as every client must. Raises NotFound when the repository does not hold it,
    Conflict when it cannot be trusted, Unavailable when nothing answers there.
    """
    _download(target_path, dest)
    if sha256:
        _compare(dest, sha256)


def _download(target_path: str, dest: Path) -> None:
    base = f"{settings.PUBLIC_URL}/tuf"
    # A memory of its own for each download: this client wants the present state, and the site's clock bounds its age.
    memory = Path(tempfile.mkdtemp(prefix="openclaw-tuf-"))
    try:
        updater = Updater(
            str(memory / "metadata"),
            f"{base}/metadata/",
            str(memory),
            f"{base}/targets/",
            fetcher=FileFetcher() if settings.REPOSITORY_ON_DISK else None,
            bootstrap=site_repository().trusted_root(),
        )
        info = updater.get_targetinfo(target_path)
        if info is None:
            raise NotFound(_("The repository does not hold “%(path)s”.") % {"path": target_path})
        dest.parent.mkdir(parents=True, exist_ok=True)
        updater.download_target(info, str(dest))
    except DownloadHTTPError as error:
        raise Unavailable(_("The repository answered %(status)d.") % {"status": error.status_code}) from error
    except (DownloadLengthMismatchError, RepositoryError) as error:
        dest.unlink(missing_ok=True)
        raise Conflict(
            _("The repository cannot be trusted: %(problem)s") % {"problem": error}, code="not-trusted"
        ) from error
    except DownloadError as error:
        raise Unavailable(
            _("The repository does not answer at %(address)s.") % {"address": base},
            hint=_("See that the web server runs and that OPENCLAW_PUBLIC_URL is right."),
        ) from error
    finally:
        shutil.rmtree(memory, ignore_errors=True)


def _compare(path: Path, sha256: str) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        raise Conflict(_("The downloaded file is not the one that was approved."), code="not-trusted")
