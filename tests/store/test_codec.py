"""Records as Redis holds them, and back."""

from __future__ import annotations

import json

from knify import model
from knify.store import codec
from tests import factories


def test_a_repository_and_secrets_are_read_as_they_were_written() -> None:
    spec = factories.spec(
        repository=model.Repository("https://git.example/a.git", branch="main", subpath="docs"),
        secrets=(model.SecretRef("TOKEN", "env", "GITHUB_TOKEN"),),
        profile="basic",
    )
    x = factories.execution(spec=spec, task_id="task-001", start_commit="ab" * 20)

    read = codec.execution(codec.execution_fields(x))

    assert read.spec == spec
    assert (read.task_id, read.start_commit) == ("task-001", "ab" * 20)


def test_a_record_of_before_has_neither() -> None:
    fields = codec.execution_fields(factories.execution())
    spec = json.loads(fields["spec"])
    for name in ("repository", "secrets", "profile"):
        del spec[name]

    read = codec.execution(fields | {"spec": json.dumps(spec)})

    assert (read.spec.repository, read.spec.secrets, read.spec.profile) == (None, (), None)
    assert (read.task_id, read.start_commit) == (None, None)
