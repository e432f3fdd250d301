"""The Python SDK: `from knify.client import Client`."""

from knify.client.answers import Artifact, Frame, Job, Submitted
from knify.client.errors import ApiError, ConnectionFailed
from knify.client.files import Downloaded
from knify.client.sync import Client

__all__ = [
    "ApiError",
    "Artifact",
    "Client",
    "ConnectionFailed",
    "Downloaded",
    "Frame",
    "Job",
    "Submitted",
]
