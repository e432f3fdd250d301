from __future__ import annotations

import pytest

from knify import credentials, errors


def test_a_key_comes_from_the_environment_and_only_for_its_own_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CURSOR_API_KEY", " key-12345678 \n")

    assert credentials.of("cursor_task") == {"CURSOR_API_KEY": "key-12345678"}
    assert credentials.of("command_task") == {}
    assert credentials.configured() == ["cursor_task"]
    credentials.check("cursor_task")
    credentials.check("command_task")


@pytest.mark.parametrize("value", ["", "  "])
def test_without_a_key_the_setting_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CURSOR_API_KEY", value)

    assert credentials.configured() == []
    with pytest.raises(errors.AgentNotConfigured, match="no CURSOR_API_KEY"):
        credentials.check("cursor_task")
