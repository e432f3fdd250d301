"""flask-smorest bent to our rules, in this one file: strict bodies, our errors, keys per route."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol, cast

import flask
import flask_smorest
import marshmallow as ma
from webargs.flaskparser import FlaskParser

from api import auth, bodies, idempotency, queries
from api import errors as api_errors
from knify import errors


class Decorator(Protocol):
    """What gives a handler back as it was, as far as types go."""

    def __call__(self, view: auth.View, /) -> auth.View:
        """The handler, marked."""


class ErrorSchema(ma.Schema):
    """The envelope of every error."""

    error = ma.fields.String(required=True, metadata={"description": "for people"})
    detail = ma.fields.Raw(metadata={"description": "context, such as the field's path"})
    code = ma.fields.String(required=True, metadata={"description": "stable, for programs"})


class Parser(FlaskParser):
    """Reads bodies by `api.bodies`; whatever is wrong is a BadRequest that names the field."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION | {"query": None}

    def load_querystring(self, req: flask.Request, schema: ma.Schema) -> Any:
        """Each parameter once, and in one spelling: what the description says and no more."""
        queries.check(req.args, schema)
        return super().load_querystring(req, schema)

    def load_json(self, req: flask.Request, schema: ma.Schema) -> Any:
        """See `bodies.read`."""
        return bodies.read()

    def handle_error(
        self, error: ma.ValidationError, req: flask.Request, schema: ma.Schema, **_: Any
    ) -> NoReturn:
        """Name the first problem, list all of them."""
        raise problem(error) from error


def problem(error: ma.ValidationError) -> errors.BadRequest:
    """A schema's complaints as one BadRequest; the location's name (json, query) is left out."""
    messages: Any = error.messages
    if isinstance(messages, dict) and set(messages) <= {"json", "query", "form", "headers"}:
        messages = {k: v for inner in messages.values() for k, v in _named(inner).items()}
    found = list(_flat(messages, ""))
    field, text = found[0] if found else ("", "not valid")
    detail: dict[str, Any] = {"field": field}
    if len(found) > 1:
        detail["problems"] = [{"field": name, "message": words} for name, words in found[:20]]
    return errors.BadRequest(f"{field}: {text}" if field else text, detail=detail)


def _named(inner: Any) -> dict[str, Any]:
    return inner if isinstance(inner, dict) else {"_schema": inner}


def _flat(messages: Any, path: str) -> Any:
    if isinstance(messages, dict):
        for name, inner in messages.items():
            below = path if name == "_schema" else f"{path}.{name}".lstrip(".")
            yield from _flat(inner, below)
    elif isinstance(messages, list):
        for text in messages:
            yield from _flat(text, path)
    else:
        yield path, str(messages)


class Blueprint(flask_smorest.Blueprint):
    """Routes whose operation id is the handler's name and which say which key they need."""

    ARGUMENTS_PARSER = Parser()

    # The library has no annotations: these four only add them.

    def route(self, rule: str, **options: Any) -> Decorator:
        """See flask-smorest."""
        return cast(Decorator, super().route(rule, **options))

    def arguments(self, schema: Any, **options: Any) -> Decorator:
        """See flask-smorest; the schema is made once, which saves a fifth of a small request."""
        made = schema() if isinstance(schema, type) else schema
        return cast(Decorator, super().arguments(made, **options))

    def response(self, status: int, schema: Any = None, **more: Any) -> Decorator:
        """See flask-smorest; the handlers' own Response objects pass through."""
        return cast(Decorator, super().response(status, schema, **more))

    @staticmethod
    def doc(**words: Any) -> Decorator:
        """See flask-smorest."""
        return cast(Decorator, flask_smorest.Blueprint.doc(**words))

    def needs(self, scope: str, *, stream: bool = False, place: Sequence[str] = ()) -> Decorator:
        """The handler's scope, for `auth.check` and for the documentation.

        `stream`: it answers with a stream, which a stream token opens too; `place`: see there.
        """

        def mark(view: auth.View) -> auth.View:
            security = [] if scope == auth.PUBLIC else [{"key": [scope]}]
            security += [{"token": []}] if stream else []
            doc = getattr(view, "_apidoc", {})
            manual: dict[str, Any] = {"operationId": view.__name__, "security": security}
            if idempotency.is_replayed(view):
                manual["x-idempotent"] = True  # for api/openapi, which takes it out again
            doc["manual_doc"] = doc.get("manual_doc", {}) | manual
            view.__dict__["_apidoc"] = doc
            marked = auth.needs(scope)(view)
            return auth.opens_by_token(marked, place) if stream else marked

        return mark


class Api(flask_smorest.Api):
    """Our error handler instead of its own."""

    ERROR_SCHEMA = ErrorSchema

    def _register_error_handlers(self) -> None:
        self._app.register_error_handler(Exception, api_errors.handle)
