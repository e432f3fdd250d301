"""What a policy lets through, and how a spec's hosts are read."""

from __future__ import annotations

from typing import Any

import pytest

from knify import egress, errors, spec
from knify.gateway.policy import Policy


def built(**fields: Any) -> Policy:
    request = {"job_type": "command_task", "command": "x"} | fields
    return Policy.of(spec.build(request, allowed_images=()))


def allowed(policy: Policy, host: str, port: int = 443) -> bool:
    try:
        policy.check(egress.parse(f"https://{host}:{port}/"))
    except errors.EgressRefused:
        return False
    return True


def test_a_job_that_asks_for_nothing_needs_no_gateway() -> None:
    assert not built().is_needed
    assert not allowed(built(), "example.com")


def test_outbound_reaches_what_is_named_on_the_ports_of_the_web() -> None:
    policy = built(network_mode="outbound", allowed_hosts=["Example.com.", "*.b.org", "c.net:9443"])

    assert allowed(policy, "example.com") and allowed(policy, "EXAMPLE.com", 80)
    assert (
        allowed(policy, "a.b.org")
        and allowed(policy, "x.a.b.org")
        and allowed(policy, "c.net", 9443)
    )
    refused = [
        "a.example.com",
        "example.com.evil.org",
        "b.org",
        "evilb.org",
        "c.net",
        "93.184.216.34",
    ]
    assert not any(allowed(policy, host) for host in refused)
    assert not allowed(policy, "example.com", 22)


def test_full_reaches_all_but_mail() -> None:
    assert allowed(built(network_mode="full"), "example.com", 22)
    assert not allowed(built(network_mode="full"), "example.com", 25)
    assert allowed(
        built(network_mode="full", allowed_hosts=["m.example.com:25"]), "m.example.com", 25
    )


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "a b", "http://a.com", "a.com/x", "10.0.0.1", "[::1]", "a.com:0", "a.com:70000",
     "a.com:", "*.*.com", "0x7f.1", "a..com", "u@a.com"],
)  # fmt: skip
def test_what_is_no_host_is_refused_and_named(entry: str) -> None:
    with pytest.raises(errors.BadRequest) as refused:
        built(network_mode="outbound", allowed_hosts=["ok.com", entry])

    assert refused.value.detail == {"field": "spec.allowed_hosts.1"}


def test_hosts_without_a_way_out_are_a_mistake() -> None:
    with pytest.raises(errors.BadRequest, match="outbound or full"):
        built(allowed_hosts=["a.com"])


def test_a_policy_travels_as_json() -> None:
    policy = built(network_mode="full", allowed_hosts=["a.com"]).evolve(max_tokens=3)

    assert Policy.parse(policy.as_json()) == policy


def test_what_a_user_says_of_a_jobs_network_is_not_for_a_step_of_ours() -> None:
    network = {"network_mode": "full", "allowed_hosts": ()}

    own, jobs = Policy("outbound", ("git.test:443",), is_ours=True), Policy("outbound", ("a.com",))

    assert own.changed(network) == own
    assert Policy.parse(own.as_json()) == own  # also behind a restart of the gateway
    assert jobs.changed(network).network_mode == "full" and jobs.changed({}) == jobs
    assert allowed(own, "git.test") and not allowed(own, "git.test", 80)
