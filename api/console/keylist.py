"""API keys of the tenant, for its admins. A key's text is in one answer and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import flask
from werkzeug.datastructures import MultiDict

from api import auth, context
from api import errors as api_errors
from api.console import blueprint, forms
from api.keys import schemas, view
from api.strict import load
from knify import apikeys, conflicts, errors
from knify.services import keys, powers

LIMIT: Final = 30
#: For how long the old secret of a rotated key may open: what the form offers.
GRACES: Final = {"0": "none", "10m": "10 minutes", "1h": "an hour", "1d": "a day", "7d": "a week"}
_LIST: Final = "/console/keys"


@blueprint.page("/keys", needs="admin")
def get_keys() -> flask.Response:
    """All keys of the tenant, newest first."""
    page = forms.page_of(flask.request.args)
    found, total = context.core().store.access.page_keys(
        context.tenant(), offset=(page - 1) * LIMIT, limit=LIMIT
    )
    pages = max(1, -(-total // LIMIT))
    rows = [(key, view.key(key)["status"]) for key in found]
    return blueprint.render("keys.html", rows=rows, page=page, pages=pages, total=total)


@blueprint.page("/keys/new", needs="admin")
def get_keys_new() -> flask.Response:
    """The form for a new one."""
    return _form(MultiDict([("scopes", "read"), ("scopes", "write")]), {})


@blueprint.page("/keys", needs="admin", methods=["POST"])
def post_key() -> flask.Response:
    """Make a key, and show its text: once, in this answer."""
    form = flask.request.form
    sent = forms.body(
        form,
        texts=("name", "tier", "mode", "expires_in"),
        numbers=("limit_per_hour",),
        lists=("scopes",),
    )
    try:
        body = load(schemas.NewKey(), sent)
        made = keys.create(context.core(), context.tenant(), **body, maker=context.key())
    except (errors.BadRequest, errors.Forbidden, conflicts.TooManyKeys) as refused:
        return _form(form, forms.problems(refused), api_errors.status_of(refused))
    return _text(made, "Key created")


@blueprint.page("/keys/<key_id>", needs="admin")
def get_key(key_id: str) -> flask.Response:
    """One key, and what may be done with it."""
    return _page(key_id)


@blueprint.page("/keys/<key_id>/rotate", needs="admin", methods=["POST"])
def post_key_rotate(key_id: str) -> flask.Response:
    """Give it another secret, and show that: once, in this answer."""
    core, tenant = context.core(), context.tenant()
    grace = flask.request.form.get("grace", "0")
    try:
        body = load(schemas.Rotation(), {"grace": 0 if grace == "0" else grace})
        made = keys.rotate(core, tenant, key_id, **body, maker=context.key())
    except (errors.BadRequest, errors.Forbidden, errors.Conflict) as refused:
        return _page(key_id, refused)
    auth.forget(key_id)
    return _text(made, "Key rotated")


@blueprint.page("/keys/<key_id>/revoke", needs="admin", methods=["POST"])
def post_key_revoke(key_id: str) -> flask.Response:
    """From now on (5 s at most) it opens nothing."""
    core, tenant = context.core(), context.tenant()
    try:
        keys.revoke(core, tenant, key_id, force=flask.request.form.get("force") == "yes")
    except conflicts.LastAdminKey as refused:
        return _page(key_id, refused)
    auth.forget(key_id)
    return blueprint.go(_LIST, f"The key {key_id} opens nothing any more.")


def _form(
    typed: MultiDict[str, str], problems: Mapping[str, str], status: int = 200
) -> flask.Response:
    return blueprint.render(
        "key_new.html",
        status,
        problems=problems,
        scopes=powers.SCOPES,
        tiers=apikeys.TIERS,
        typed=typed,
    )


def _text(made: keys.NewKey, title: str) -> flask.Response:
    answer = blueprint.render("key_text.html", made=made.record, text=made.text, title=title)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _page(key_id: str, refused: errors.KnifyError | None = None) -> flask.Response:
    found = keys.get(context.core(), context.tenant(), key_id)
    return blueprint.render(
        "key.html",
        200 if refused is None else api_errors.status_of(refused),
        found=found,
        graces=GRACES,
        is_last=isinstance(refused, conflicts.LastAdminKey),
        is_mine=found.id == context.key().id,
        problem="" if refused is None else next(iter(forms.problems(refused).values())),
        state=view.key(found)["status"],
    )
