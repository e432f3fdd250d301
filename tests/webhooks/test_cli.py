"""`knify webhooks …` against the real API, a deliverer and a receiver."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import click.testing
import pytest

from knify.cli import main
from tests.client import autopilot
from tests.webhooks import receiver as receivers
from tests.webhooks.receiver import Receiver
from tests.webhooks.rig import Rig

Run = Callable[..., click.testing.Result]


@pytest.fixture
def knify(rig: Rig) -> Iterator[Run]:
    """Runs `knify webhooks …`."""
    with autopilot.serving(rig.core) as (url, key):
        runner = click.testing.CliRunner(env={"KNIFY_URL": url, "KNIFY_API_KEY": key})
        yield lambda *words: runner.invoke(main.cli, ["webhooks", *words])


def test_a_webhook_is_made_shown_changed_and_deleted(knify: Run, receiver: Receiver) -> None:
    made = knify("create", receiver.url, "--event", "job.failed", "--name", "pager")
    hook = re.findall(r"webhook_\w{26}", made.stdout)[0]
    assert "whsec_" in made.stdout
    assert "shown only once" in made.stderr
    own = json.loads(knify("create", receiver.url, "--secret", "my_own_secret", "--json").stdout)
    assert len(own["events"]) == 5 and "secret" not in own

    listed = knify("list").stdout
    assert hook in listed and "pager" in listed and " on " in listed
    assert len(json.loads(knify("list", "--json").stdout)) == 2
    assert json.loads(knify("show", hook, "--json").stdout)["events"] == ["job.failed"]
    changed = knify("change", hook, "--off", "--event", "job.created", "--event", "job.failed")
    assert "job.created" in changed.stdout and "active" in changed.stdout
    assert " off " in knify("list").stdout
    assert knify("delete", hook, "--yes").stdout == f"{hook} is gone\n"
    assert knify("show", hook).exit_code == 6
    refused = knify("create", "ftp://example.com/")
    assert refused.exit_code == 6 and "must begin with https://" in refused.stderr


def test_a_test_says_whether_it_was_taken(knify: Run, rig: Rig, receiver: Receiver) -> None:
    receiver.script = [200, 500]
    hook = rig.hook(receiver.url)
    rig.deliverer()

    taken, refused = knify("test", hook), knify("test", hook)

    assert (taken.exit_code, taken.stdout.split()[1]) == (0, "delivered")
    assert refused.exit_code == 1
    assert "answered 500" in refused.stdout
    table = knify("deliveries", hook).stdout.splitlines()
    assert len(table) == 3 and "webhook.test" in table[1]
    delivery = refused.stdout.split()[0]
    again = knify("redeliver", hook, delivery)
    assert again.stdout.split() == [delivery, "delivered"]
    rows = json.loads(knify("deliveries", hook, "--json").stdout)
    assert {row["status"] for row in rows} == {"delivered"}
    assert knify("redeliver", hook, "evt_none").exit_code == 6


def test_without_a_worker_a_test_is_not_waited_for_for_ever(
    knify: Run, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knify.cli.webhooks._PATIENCE", 0.1)
    hook = rig.hook(f"http://127.0.0.1:{receivers.free_port()}/")

    assert knify("test", hook).stdout.endswith("pending\n")
    assert knify("test", hook, "--no-wait").stdout.endswith("pending\n")
