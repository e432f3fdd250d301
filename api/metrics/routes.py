"""Metrics for Prometheus."""

from __future__ import annotations

import flask
import prometheus_client

from api import auth, context
from api.smorest import Blueprint

blp = Blueprint("metrics", __name__, description="Figures for Prometheus")

_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@blp.route("/metrics")
@blp.needs(auth.OPERATOR)
@auth.opens_by_metrics_token
@blp.doc(responses={200: _TEXT})
@blp.response(200)
def get_metrics() -> flask.Response:
    """How much there is of everything and how this process fares, in Prometheus's text format."""
    text = prometheus_client.generate_latest(context.meters().registry)
    return flask.Response(text, content_type=prometheus_client.CONTENT_TYPE_LATEST)
