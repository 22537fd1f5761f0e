"""Bytes, kept by what they are: a blob's name is the SHA-256 of its content."""

from amends.blobs._local import Blob, BlobNotFound, BlobWriter, LocalBlobs, StoredBlob
from amends.blobs._partial import PartialBlob, PartialLocked, PartialLost, Partials
from amends.blobs._together import flush_together, publish_together

__all__ = [
    "Blob",
    "BlobNotFound",
    "BlobWriter",
    "LocalBlobs",
    "PartialBlob",
    "PartialLocked",
    "PartialLost",
    "Partials",
    "StoredBlob",
    "flush_together",
    "publish_together",
]
