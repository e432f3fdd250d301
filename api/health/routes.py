"""Health. Open to everybody."""

from __future__ import annotations

import flask

from api import auth, context
from api.health import schemas, view
from api.smorest import Blueprint
from knify import __version__

blp = Blueprint("health", __name__, description="Whether the service works")


@blp.route("/")
@blp.needs(auth.PUBLIC)
@blp.response(200, schemas.Health)
def get_root() -> flask.Response:
    """This process answers."""
    return flask.jsonify({"status": "ok", "version": __version__})


@blp.route("/api/health")
@blp.needs(auth.PUBLIC)
@blp.response(200, schemas.Health)
def get_health() -> flask.Response:
    """This process answers."""
    return flask.jsonify({"status": "ok", "version": __version__})


@blp.route("/api/v1/health")
@blp.needs(auth.PUBLIC)
@blp.response(200, schemas.Health)
def get_health_v1() -> flask.Response:
    """This process answers."""
    return flask.jsonify({"status": "ok", "version": __version__})


@blp.route("/api/v1/health/live")
@blp.needs(auth.PUBLIC)
@blp.response(200, schemas.Health)
def get_live() -> flask.Response:
    """This process answers."""
    return flask.jsonify({"status": "ok", "version": __version__})


@blp.route("/api/v1/health/ready")
@blp.needs(auth.PUBLIC)
@blp.response(200, schemas.Ready)
def get_ready() -> flask.Response:
    """Jobs can run; 503 with the reasons when they cannot."""
    return flask.jsonify(view.require_ready(context.core(), context.objects()))
