"""All of the store behind one connection."""

from __future__ import annotations

from dataclasses import dataclass

from knify import settings as settings_module
from knify.store import places
from knify.store.access import Access
from knify.store.admission import Admission
from knify.store.checkups import Checkups
from knify.store.counts import Counts
from knify.store.definitions import Definitions
from knify.store.doors import Doors
from knify.store.executions import Executions
from knify.store.families import Families
from knify.store.gauges import Meter
from knify.store.lineages import Lineages
from knify.store.listing import Listing
from knify.store.minutes import Minutes
from knify.store.notices import Notices
from knify.store.redis import Client, Scripts, connect
from knify.store.registry import Registry
from knify.store.replays import Replays
from knify.store.retention import Retention
from knify.store.runs import Runs
from knify.store.samples import Samples
from knify.store.sandboxes import Sandboxes
from knify.store.secrets import Secrets
from knify.store.streams import Streams
from knify.store.tasks import Tasks
from knify.store.typed import Typed
from knify.store.usage import Usages
from knify.store.webhooks import Webhooks
from knify.store.workspaces import Workspaces


@dataclass(frozen=True, slots=True)
class Store:
    """Redis, as the rest of Knify sees it."""

    client: Client
    executions: Executions
    sandboxes: Sandboxes
    admission: Admission
    registry: Registry
    streams: Streams
    lineages: Lineages
    listing: Listing
    tasks: Tasks
    families: Families
    retention: Retention
    replays: Replays
    access: Access
    secrets: Secrets
    webhooks: Webhooks
    workspaces: Workspaces
    doors: Doors
    usages: Usages
    notices: Notices
    definitions: Definitions
    runs: Runs
    samples: Samples
    meter: Meter
    minutes: Minutes
    checkups: Checkups
    typed: Typed
    counts: Counts


def build(client: Client, *, sandbox_ttl_ms: int, replicas: int = 0) -> Store:
    """A store on an open connection."""
    scripts = Scripts(client)
    listing = Listing(client, scripts)
    return Store(
        client=client,
        executions=Executions(client, scripts, sandbox_ttl_ms=sandbox_ttl_ms, replicas=replicas),
        sandboxes=Sandboxes(client, scripts),
        admission=Admission(client, scripts),
        registry=Registry(client, scripts),
        streams=Streams(client),
        lineages=Lineages(client),
        listing=listing,
        tasks=Tasks(client, scripts, listing),
        families=Families(client, scripts),
        retention=Retention(client, scripts),
        replays=Replays(client, scripts),
        access=Access(client, scripts),
        secrets=Secrets(client, scripts),
        webhooks=Webhooks(client, scripts),
        workspaces=Workspaces(client, scripts),
        doors=Doors(client, scripts),
        usages=Usages(client, scripts),
        notices=Notices(client, scripts),
        definitions=Definitions(client, scripts),
        runs=Runs(client, scripts),
        samples=Samples(client, scripts),
        meter=Meter(client),
        minutes=Minutes(client),
        checkups=Checkups(client),
        typed=Typed(client, scripts),
        counts=Counts(client),
    )


def from_settings(settings: settings_module.Settings) -> Store:
    """The store that the settings name. Nothing is sent yet."""
    places.check(settings.redis)
    ttl = int(settings.sandbox_days * 86_400_000)
    return build(connect(settings.redis), sandbox_ttl_ms=ttl, replicas=settings.redis_replicas)
