"""A browser without a screen: the console's pages by Flask's client, as one that is signed in."""

from __future__ import annotations

import re
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

_CSRF = re.compile(r'name="csrf-token" content="([0-9a-f]+)"')


class Pages:
    """Pages, and forms that are sent from them."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def sign_in(self, key: str, **more: str) -> TestResponse:
        return self.client.post("/console/sign-in", data={"key": key} | more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(f"/console{path}", **more)

    def text(self, path: str, **more: Any) -> str:
        """The page's HTML; it is there."""
        answer = self.get(path, **more)
        assert answer.status_code == 200, (answer.status_code, answer.text[:500])
        return answer.text

    @property
    def csrf(self) -> str:
        """What its forms send along."""
        found = _CSRF.search(self.get("/jobs").text)
        assert found is not None
        return found[1]

    def post(self, path: str, **form: Any) -> TestResponse:
        """A form of a page, sent."""
        return self.client.post(f"/console{path}", data={"csrf_token": self.csrf} | form)
