"""From `KNIFY_OBJECT_STORE` to the store it names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from knify import errors, settings
from knify.objects import base, folder


def connect(config: settings.Settings) -> base.ObjectStore:
    """The store of `file:///folder` or `s3://bucket/prefix`; ConfigError for anything else.

    The folder is made; the bucket must exist (`check` says so). S3 is not spoken to yet.
    """
    url = urlsplit(config.object_store)
    if url.query or url.fragment:
        raise _wrong(config)
    if url.scheme == "file" and url.netloc in ("", "localhost") and url.path.startswith("/"):
        return folder.Folder(Path(unquote(url.path)))
    if url.scheme == "s3" and url.netloc:
        return _s3(url, config)
    raise _wrong(config)


def spool(config: settings.Settings) -> Path:
    """The folder for temporary files, made when missing: not /tmp, which may be memory.

    What processes that died left in it more than a day ago is removed.
    """
    path = config.home / "tmp"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.sweep(path)
    return path


def _s3(url: SplitResult, config: settings.Settings) -> base.ObjectStore:
    from knify.objects import s3  # costs 20 MB of memory, so only where it is used

    try:
        base.check_prefix(unquote(url.path).lstrip("/"))
    except errors.BadRequest as failed:
        raise _wrong(config) from failed
    options = s3.Options(
        endpoint_url=config.s3_endpoint_url,
        region=config.s3_region,
        addressing=config.s3_addressing,
        encryption=config.s3_encryption,
        kms_key=config.s3_kms_key,
        ca=config.s3_ca,
    )
    return s3.S3(url.netloc, unquote(url.path), spool(config), options=options)


def _wrong(config: settings.Settings) -> errors.ConfigError:
    return errors.ConfigError(
        "KNIFY_OBJECT_STORE must be file:///folder or s3://bucket/prefix, "
        f"not {config.object_store!r}"
    )
