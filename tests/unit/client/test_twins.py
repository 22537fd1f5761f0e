"""Client and AsyncClient: the same methods, the same names, the same words; and what importing them costs."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from amends import AsyncClient, Client
from amends.client._api_keys import ApiKeys, AsyncApiKeys
from amends.client._batch_predictions import AsyncBatchPredictions, BatchPredictions
from amends.client._client import Part
from amends.client._credits import AsyncCreditAccount, CreditAccount
from amends.client._datasets import AsyncDataset, AsyncDatasets, Dataset, Datasets
from amends.client._files import AsyncFiles, Files
from amends.client._jobs import AsyncJobDefinition, AsyncJobs, JobDefinition, Jobs
from amends.client._orders import AsyncOrder, AsyncOrders, Order, Orders
from amends.client._pages import AsyncPage, Page
from amends.client._runs import AsyncRuns, Runs
from amends.client._users import AsyncInvitations, AsyncUsers, Invitations, Users
from amends.client._webhooks import AsyncWebhooks, Webhooks

TWINS = [
    (Client, AsyncClient),
    (Files, AsyncFiles),
    (BatchPredictions, AsyncBatchPredictions),
    (Runs, AsyncRuns),
    (ApiKeys, AsyncApiKeys),
    (Users, AsyncUsers),
    (Invitations, AsyncInvitations),
    (Webhooks, AsyncWebhooks),
    (CreditAccount, AsyncCreditAccount),
    (Datasets, AsyncDatasets),
    (Jobs, AsyncJobs),
    (Orders, AsyncOrders),
    (Page, AsyncPage),
]
# What differs in its very nature: how it is entered, closed and iterated.
OWN = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__", "__iter__": "__aiter__"}
# A resource of its own kind, the transport handed in, iterables that only async code can walk.
ASYNC_WORDS = [
    ("AsyncPage", "Page"),
    ("AsyncIterator", "Iterator"),
    ("AsyncClient", "Client"),
    ("Awaitable[Page[M]]", "Page[M]"),
    ("AsyncOrder", "Order"),
]
BOUND = [(Dataset, AsyncDataset), (JobDefinition, AsyncJobDefinition), (Order, AsyncOrder)]


def public(cls: type) -> dict[str, Any]:
    names = {name for base in cls.__mro__ if base is not BaseModel for name in vars(base)}
    return {
        name: member
        for name in names
        if (not name.startswith(("_", "model_")) and name != "__init__") or name in (*OWN, *OWN.values())
        if inspect.isfunction(member := getattr(cls, name)) or isinstance(member, Part)
    }


def spelled(function: Any) -> str:
    text = str(inspect.signature(function))
    for theirs, ours in ASYNC_WORDS:
        text = text.replace(theirs, ours)
    return text


@pytest.mark.parametrize(("sync", "asynchronous"), [*TWINS, *BOUND], ids=lambda cls: cls.__name__)
def test_twins_have_the_same_methods_with_the_same_signatures(sync: type, asynchronous: type) -> None:
    ours, theirs = public(sync), public(asynchronous)
    assert {OWN.get(name, name) for name in ours} == set(theirs) != set()
    for name, member in ours.items():
        twin = theirs[OWN.get(name, name)]
        if inspect.isfunction(member):
            assert spelled(member) == spelled(twin), name
            if name not in ("with_options", "results", "events", "__iter__"):
                assert inspect.iscoroutinefunction(twin), name
                assert not inspect.iscoroutinefunction(member), name
        else:
            assert member is twin, name


def test_a_method_says_what_it_returns_to_whoever_asks_for_its_signature() -> None:
    assert inspect.signature(Files.get).return_annotation == "File"
    assert inspect.signature(AsyncFiles.list).return_annotation == "AsyncPage[File]"
    assert inspect.signature(Runs.events).return_annotation == "Iterator[RunEvent]"
    assert inspect.signature(AsyncRuns.events).return_annotation == "AsyncIterator[RunEvent]"
    assert inspect.signature(Order.run).return_annotation == "Self"
    assert inspect.signature(Order.get_status).return_annotation == "str"


def test_clients_take_the_same_parameters() -> None:
    assert spelled(Client.__init__) == spelled(AsyncClient.__init__)


@pytest.mark.parametrize(("sync", "asynchronous"), [*TWINS[1:-1], *BOUND], ids=lambda cls: cls.__name__)
def test_public_methods_are_documented_alike(sync: type, asynchronous: type) -> None:
    for name, member in public(sync).items():
        if inspect.isfunction(member):
            assert member.__doc__, name
            assert member.__doc__ == public(asynchronous)[OWN.get(name, name)].__doc__, name


@pytest.mark.parametrize("door", ["amends", "amends.client", "amends.exceptions", "amends.testing"])
def test_front_doors_expose_what_they_say(door: str) -> None:
    module = importlib.import_module(door)
    assert sorted(module.__all__, key=str) == sorted(set(module.__all__), key=str)
    for name in module.__all__:
        value = getattr(module, name)
        assert value is not None
        assert name in dir(module)
    with pytest.raises(AttributeError):
        module.nonsense  # noqa: B018 - asked for on purpose


def test_every_public_name_of_the_client_has_one_home() -> None:
    import amends.client

    assert sorted(amends.client._HOME_OF) == sorted(amends.client.__all__)


# Processor time: other tests run beside this one, and their share is none of the import's.
PROBE = """
import sys, time
started = time.process_time()
from amends import AsyncClient, Client
print(time.process_time() - started, *({"httpx2", "pydantic", "asyncio", "msgspec"} & set(sys.modules)))
"""


def test_importing_takes_under_150_milliseconds_and_brings_little() -> None:
    best = 1.0
    for _ in range(5):
        taken, *heavy = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
        ).stdout.split()
        assert heavy == []
        best = min(best, float(taken))
        if best < 0.150:
            break
    assert best < 0.150


def test_nothing_reads_the_environment_at_import() -> None:
    code = (
        "import os\n"
        "class Environ(dict):\n"
        "    def _told(self, *a): raise AssertionError(a)\n"
        "    __getitem__ = get = __contains__ = _told\n"
        "kept, os.environ = os.environ, Environ()\n"
        "import amends.client._client, amends.client._context, amends.client._exchange, amends.exceptions\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
