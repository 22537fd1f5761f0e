"""``Client`` and ``AsyncClient``: the same methods, the async ones awaited.

Importing this is cheap on purpose: the HTTP library comes with the first client, Pydantic with the first resource used.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypeVar, Unpack, overload

from amends.resilience import Breaker, Draw, RetryBudget

from ._context import (
    Clock,
    Context,
    GiveUpEvent,
    Hooks,
    Policy,
    ReadOptions,
    ResponseEvent,
    RetryEvent,
    SystemClock,
    new_idempotency_key,
)
from ._guards import Guards
from ._settings import ApiKey, resolve_api_key, resolve_base_url

if TYPE_CHECKING:
    import httpx2

    from ._api_keys import ApiKeys, AsyncApiKeys
    from ._batch_predictions import AsyncBatchPredictions, BatchPredictions
    from ._credits import AsyncCreditAccount, CreditAccount
    from ._datasets import AsyncDatasets, Datasets
    from ._files import AsyncFiles, Files
    from ._jobs import AsyncJobs, Jobs
    from ._journal import Journal
    from ._models import Me
    from ._orders import AsyncOrders, Orders
    from ._runs import AsyncRuns, Runs
    from ._users import AsyncInvitations, AsyncUsers, Invitations, Users
    from ._webhooks import AsyncWebhooks, Webhooks


JournalChoice = bool | str | os.PathLike[str] | None


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = _NotGiven()
Seconds = float | None | _NotGiven
Budget = RetryBudget | None | _NotGiven
C = TypeVar("C", bound="_Parts")
S = TypeVar("S")
A = TypeVar("A")


def _journal(chosen: JournalChoice, clock: Clock) -> Journal | None:
    if chosen is None or chosen is False:
        return None
    from ._journal import Journal
    from ._journal_places import own_journal

    path = own_journal() if chosen is True else os.fspath(chosen)
    return Journal(Path(path), now=clock.time)


class Part(Generic[S, A]):
    """A resource of a client, imported and made when it is first asked for. name: of its class; AsyncClient's has Async before it."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...

    @overload
    def __get__(self, client: Client, owner: type) -> S: ...

    @overload
    def __get__(self, client: AsyncClient, owner: type) -> A: ...

    def __get__(self, client: Client | AsyncClient | None, owner: type) -> Any:
        if client is None:
            return self
        name = self._name if isinstance(client, Client) else f"Async{self._name}"
        made = getattr(import_module(self._module, __package__), name)(client._loop, client._context)
        return vars(client).setdefault(self._attribute, made)


class _Parts:
    """What both clients are made of but their loops."""

    files: Part[Files, AsyncFiles] = Part("._files", "Files")
    """Stored files."""
    batch_predictions: Part[BatchPredictions, AsyncBatchPredictions] = Part("._batch_predictions", "BatchPredictions")
    """A model asked about each of any number of items."""
    datasets: Part[Datasets, AsyncDatasets] = Part("._datasets", "Datasets")
    """What is to be labelled."""
    job: Part[Jobs, AsyncJobs] = Part("._jobs", "Jobs")
    """What is asked about datapoints."""
    order: Part[Orders, AsyncOrders] = Part("._orders", "Orders")
    """Job definitions on their way to results."""
    runs: Part[Runs, AsyncRuns] = Part("._runs", "Runs")
    """Durable bulk work of any kind."""
    credits: Part[CreditAccount, AsyncCreditAccount] = Part("._credits", "CreditAccount")
    """What the workspace has, what it spent, what work would cost."""
    users: Part[Users, AsyncUsers] = Part("._users", "Users")
    """The people of the workspace."""
    invitations: Part[Invitations, AsyncInvitations] = Part("._users", "Invitations")
    """Whom to let into the workspace."""
    webhooks: Part[Webhooks, AsyncWebhooks] = Part("._webhooks", "Webhooks")
    """Whom the workspace tells what happens."""
    api_keys: Part[ApiKeys, AsyncApiKeys] = Part("._api_keys", "ApiKeys")
    """Who may call."""

    _context: Context

    def _configure(
        self,
        api_key: ApiKey,
        base_url: str | None,
        policy: Policy,
        budget: Budget,
        breaker: Breaker | None,
        hooks: Hooks,
        clock: Clock | None,
        draw: Draw,
        new_key: Callable[[], str],
        journal: JournalChoice,
    ) -> None:
        clock = SystemClock() if clock is None else clock
        self._owns_journal = True
        self._context = Context(
            base_url=resolve_base_url(base_url, os.environ),
            api_key=resolve_api_key(api_key, os.environ),
            policy=policy,
            clock=clock,
            draw=draw,
            new_key=new_key,
            hooks=hooks,
            guards=Guards(RetryBudget() if isinstance(budget, _NotGiven) else budget, breaker),
            journal=_journal(journal, clock),
        )

    def _with_policy(self: C, timeout: Seconds, deadline: Seconds, max_retries: int | _NotGiven) -> C:
        policy, context = self._context.policy, self._context
        changed = Policy(
            policy.timeout_seconds if isinstance(timeout, _NotGiven) else timeout,
            policy.deadline_seconds if isinstance(deadline, _NotGiven) else deadline,
            policy.max_retries if isinstance(max_retries, _NotGiven) else max_retries,
        )
        copy = object.__new__(type(self))
        # Resources made so far hold the old policy.
        copy.__dict__ = {name: value for name, value in self.__dict__.items() if name.startswith("_")}
        copy.__dict__["_owns_pool"] = copy.__dict__["_owns_journal"] = False
        copy._context = dataclasses.replace(context, policy=changed)
        return copy

    def _end_journal(self, *, is_done: bool = False) -> None:
        """Let go of the journal, if this client opened it. is_done: all that it was for has been done."""
        journal = self._context.journal
        if journal is not None and self._owns_journal:
            if is_done:
                journal.clear()
            journal.close(is_done=is_done)

    @property
    def base_url(self) -> str:
        """Where it sends its requests."""
        return self._context.base_url

    def __repr__(self) -> str:
        key = "NO_KEY" if self._context.api_key is None else repr(self._context.api_key)
        policy = self._context.policy
        return (
            f"{type(self).__name__}(api_key={key}, base_url={self.base_url!r}, timeout={policy.timeout_seconds!r}, "
            f"deadline={policy.deadline_seconds!r}, max_retries={policy.max_retries!r})"
        )

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{type(self).__name__} holds a key and open connections, so it does not pickle: make one in each process"
        )


class Client(_Parts):
    """The SDK for threads. One client serves any number of them.

    api_key: None takes ``AMENDS_API_KEY``; ``NO_KEY`` sends none, for an owner's local socket. base_url: None takes
    ``AMENDS_BASE_URL``, else this machine's port 8080. timeout: seconds for one try (in a bulk transfer, for each
    silence); deadline: seconds for a whole call with its waits; None is no bound. max_retries: tries after the first.
    budget: what retries are paid from; not given, one with the usual settings; one ``RetryBudget`` may serve several
    clients; None for no bound. breaker: holds calls back from a route group that keeps failing, which raises
    CircuitOpenError; its settings serve for each group; None for none, and bulk work then pauses instead.
    journal: a file in which what is done is written down, so that the program, killed and run again, does nothing twice;
    True takes one that belongs to the program, its arguments and its working folder. It is kept until the ``with`` block
    ends without an exception. http_client: sends the requests, and stays open for whoever made it; None makes one, which
    ``close`` closes.
    on_retry, on_give_up, on_response: told what happens; one that raises is logged and changes nothing. clock, draw,
    new_key: where time, randomness and idempotency keys come from.

    Raises ConfigurationError where the key is missing or the base URL malformed.
    """

    def __init__(
        self,
        api_key: ApiKey = None,
        base_url: str | None = None,
        *,
        timeout: float | None = 30.0,
        deadline: float | None = None,
        max_retries: int = 3,
        budget: Budget = NOT_GIVEN,
        breaker: Breaker | None = None,
        journal: JournalChoice = None,
        http_client: httpx2.Client | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
        on_give_up: Callable[[GiveUpEvent], object] | None = None,
        on_response: Callable[[ResponseEvent], object] | None = None,
        clock: Clock | None = None,
        draw: Draw = random.random,
        new_key: Callable[[], str] = new_idempotency_key,
    ) -> None:
        policy = Policy(timeout, deadline, max_retries)
        hooks = Hooks(on_retry, on_give_up, on_response)
        self._configure(api_key, base_url, policy, budget, breaker, hooks, clock, draw, new_key, journal)
        from ._loops import SyncLoop
        from ._pool import connect

        self._owns_pool = http_client is None
        http = connect(self.base_url) if http_client is None else http_client
        self._loop = SyncLoop(http, self._context.clock)

    def me(self, **options: Unpack[ReadOptions]) -> Me:
        """Return who the credential is: user, role, workspace, mode."""
        from ._models import Me
        from ._operations import fetch

        return self._loop.run(fetch(self._context, Me, options, "GET", "/v1/me"))

    def with_options(
        self,
        *,
        timeout: Seconds = NOT_GIVEN,
        deadline: Seconds = NOT_GIVEN,
        max_retries: int | _NotGiven = NOT_GIVEN,
    ) -> Client:
        """Return a copy that differs in these. It shares the connections, which closing the copy leaves open, the retry
        budget and the breakers."""
        return self._with_policy(timeout, deadline, max_retries)

    def close(self) -> None:
        """Close the connections, if this client made them. The journal keeps what it holds."""
        self._end_journal()
        if self._owns_pool:
            self._loop.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        try:
            self._end_journal(is_done=kind is None)
        finally:
            self.close()
        return False


class AsyncClient(_Parts):
    """The SDK for asyncio: ``Client`` with awaited methods; its parameters are the same.

    http_client: an ``httpx2.AsyncClient``. Hooks are plain callables here, too.
    """

    def __init__(
        self,
        api_key: ApiKey = None,
        base_url: str | None = None,
        *,
        timeout: float | None = 30.0,
        deadline: float | None = None,
        max_retries: int = 3,
        budget: Budget = NOT_GIVEN,
        breaker: Breaker | None = None,
        journal: JournalChoice = None,
        http_client: httpx2.AsyncClient | None = None,
        on_retry: Callable[[RetryEvent], object] | None = None,
        on_give_up: Callable[[GiveUpEvent], object] | None = None,
        on_response: Callable[[ResponseEvent], object] | None = None,
        clock: Clock | None = None,
        draw: Draw = random.random,
        new_key: Callable[[], str] = new_idempotency_key,
    ) -> None:
        policy = Policy(timeout, deadline, max_retries)
        hooks = Hooks(on_retry, on_give_up, on_response)
        self._configure(api_key, base_url, policy, budget, breaker, hooks, clock, draw, new_key, journal)
        from ._loops import AsyncLoop
        from ._pool import aconnect

        self._owns_pool = http_client is None
        http = aconnect(self.base_url) if http_client is None else http_client
        self._loop = AsyncLoop(http, self._context.clock)

    async def me(self, **options: Unpack[ReadOptions]) -> Me:
        """Return who the credential is: user, role, workspace, mode."""
        from ._models import Me
        from ._operations import fetch

        return await self._loop.run(fetch(self._context, Me, options, "GET", "/v1/me"))

    def with_options(
        self,
        *,
        timeout: Seconds = NOT_GIVEN,
        deadline: Seconds = NOT_GIVEN,
        max_retries: int | _NotGiven = NOT_GIVEN,
    ) -> AsyncClient:
        """Return a copy that differs in these. It shares the connections, which closing the copy leaves open, the retry
        budget and the breakers."""
        return self._with_policy(timeout, deadline, max_retries)

    async def aclose(self) -> None:
        """Close the connections, if this client made them. The journal keeps what it holds."""
        self._end_journal()
        if self._owns_pool:
            await self._loop.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        try:
            self._end_journal(is_done=kind is None)
        finally:
            await self.aclose()
        return False
