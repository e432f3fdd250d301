"""Nodes, for the operator; and sending a sandbox off its node."""

from __future__ import annotations

from typing import Any

import flask

from api import auth, context
from api.nodes import schemas, view
from api.smorest import Blueprint
from knify.services import nodes

blp = Blueprint("nodes", __name__, description="Podman hosts")


@blp.route("/nodes")
@blp.needs(auth.OPERATOR)
@blp.response(200, schemas.Node(many=True))
def list_nodes() -> flask.Response:
    """Every node: its state, its jobs, its idle sandboxes."""
    return flask.jsonify([view.node(n) for n in nodes.listing(context.core())])


@blp.route("/nodes/<name>/drain", methods=["POST"])
@blp.needs(auth.OPERATOR)
@blp.response(200, schemas.Node)
def drain_node(name: str) -> flask.Response:
    """No new sandbox comes to the node; its idle ones are archived. Outlives restarts."""
    return flask.jsonify(view.node(nodes.drain(context.core(), name, on=True)))


@blp.route("/nodes/<name>/undrain", methods=["POST"])
@blp.needs(auth.OPERATOR)
@blp.response(200, schemas.Node)
def undrain_node(name: str) -> flask.Response:
    """The node takes sandboxes again."""
    return flask.jsonify(view.node(nodes.drain(context.core(), name, on=False)))


@blp.route("/nodes/<name>/cordon", methods=["POST"])
@blp.needs(auth.OPERATOR)
@blp.response(200, schemas.Node)
def cordon_node(name: str) -> flask.Response:
    """No new sandbox comes to the node; those that are there stay. Outlives restarts."""
    return flask.jsonify(view.node(nodes.cordon(context.core(), name, on=True)))


@blp.route("/nodes/<name>/uncordon", methods=["POST"])
@blp.needs(auth.OPERATOR)
@blp.response(200, schemas.Node)
def uncordon_node(name: str) -> flask.Response:
    """Sandboxes come to the node again."""
    return flask.jsonify(view.node(nodes.cordon(context.core(), name, on=False)))


@blp.route("/nodes/<name>", methods=["DELETE"])
@blp.needs(auth.OPERATOR)
@blp.arguments(schemas.Forgetting, location="query")
@blp.response(200, schemas.Forgotten)
def forget_node(query: dict[str, Any], name: str) -> flask.Response:
    """Forget a node that is not to come back; with `force` its idle sandboxes are lost with it."""
    nodes.forget(context.core(), name, force=query["force"])
    return flask.jsonify({"success": True})


@blp.route("/sandboxes/<sandbox_id>/archive", methods=["POST"])
@blp.needs("write")
@blp.response(200, schemas.Archiving)
def archive_sandbox(sandbox_id: str) -> flask.Response:
    """Move an idle sandbox to the object store soon; it can be continued as before, anywhere."""
    nodes.archive(context.core(), context.tenant(), sandbox_id)
    return flask.jsonify({"success": True})
