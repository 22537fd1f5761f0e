"""The methods of resources, each written once for both clients.

A method is written as a flow. What comes of that is up to the class it is asked of: where that is ``Called`` the flow is run and what
it returns is returned, where it is ``Awaited`` so is the method::

    class _Keys(Methods):
        @method
        def get(self, id: str, **options: Unpack[ReadOptions]) -> Flow[Key]: ...

    class Keys(_Keys, SyncResource): ...         # get(id) returns a Key
    class AsyncKeys(_Keys, AsyncResource): ...   # get(id) is awaited, and returns a Key

Parameters and docstrings are thus the same by construction, and a type checker sees the right type of each.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from ._context import Context
from ._flow import Flow, Stream
from ._loops import AsyncLoop, SyncLoop
from ._models import Record
from ._operations import Rows
from ._pages import AsyncPage, Page

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Record)
C = TypeVar("C", bound="Called")
A = TypeVar("A", bound="Awaited")


class Called:
    """Its methods return what their flows return."""


class Awaited:
    """Its methods are awaited."""


class Methods:
    """What methods are written in: flows take the context, and what outlives a flow (a retry, a resume) is run by the loop."""

    _loop: SyncLoop | AsyncLoop
    _context: Context


class SyncResource(Methods, Called):
    """A resource of ``Client``."""

    _loop: SyncLoop

    def __init__(self, loop: SyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context


class AsyncResource(Methods, Awaited):
    """A resource of ``AsyncClient``."""

    _loop: AsyncLoop

    def __init__(self, loop: AsyncLoop, context: Context) -> None:
        self._loop = loop
        self._context = context


class Twins:
    """Two functions that look like the one that was written, but for what they return.

    shapes: what is written as returned, and what each of the two returns, with ``{}`` for the same in all of them.
    """

    def __init__(
        self,
        written: Callable[..., Any],
        called: Callable[..., Any],
        awaited: Callable[..., Any],
        shapes: tuple[str, str, str],
    ) -> None:
        self.__doc__ = written.__doc__
        self._twins = called, awaited
        signature = inspect.signature(written)
        before, _, after = shapes[0].partition("{}")
        inner = str(signature.return_annotation).removeprefix(before).removesuffix(after)
        for twin, shape in zip(self._twins, shapes[1:], strict=True):
            update_wrapper(twin, written)
            vars(twin)["__signature__"] = signature.replace(return_annotation=shape.format(inner))

    def _of(self, one: object, owner: type) -> Any:
        called, awaited = self._twins
        return (awaited if issubclass(owner, Awaited) else called).__get__(one, owner)


class method(Twins, Generic[P, T]):  # noqa: N801 - a decorator
    """A method that returns what its flow returns."""

    def __init__(self, written: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        def called(self: Any, *args: P.args, **named: P.kwargs) -> T:
            result: T = self._loop.run(written(self, *args, **named))
            return result

        async def awaited(self: Any, *args: P.args, **named: P.kwargs) -> T:
            result: T = await self._loop.run(written(self, *args, **named))
            return result

        super().__init__(written, called, awaited, ("Flow[{}]", "{}", "{}"))

    @overload
    def __get__(self, one: Called, owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, one: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    @overload
    def __get__(self, one: object, owner: type) -> Callable[P, Any]: ...

    def __get__(self, one: object, owner: type) -> Any:
        return self._of(one, owner)


class changing(Twins, Generic[P]):  # noqa: N801
    """A method that brings what it is called on up to date, and returns that."""

    def __init__(self, written: Callable[Concatenate[Any, P], Flow[None]]) -> None:
        def called(self: Any, *args: P.args, **named: P.kwargs) -> Any:
            self._loop.run(written(self, *args, **named))
            return self

        async def awaited(self: Any, *args: P.args, **named: P.kwargs) -> Any:
            await self._loop.run(written(self, *args, **named))
            return self

        super().__init__(written, called, awaited, ("Flow[None]", "Self", "Self"))

    @overload
    def __get__(self, one: C, owner: type) -> Callable[P, C]: ...

    @overload
    def __get__(self, one: A, owner: type) -> Callable[P, Coroutine[Any, Any, A]]: ...

    @overload
    def __get__(self, one: object, owner: type) -> Callable[P, Any]: ...

    def __get__(self, one: object, owner: type) -> Any:
        return self._of(one, owner)


class paged(Twins, Generic[P, M]):  # noqa: N801
    """A method that returns a page of the rows that its flow returns. It takes ``after``, with which the next page is asked for."""

    def __init__(self, written: Callable[Concatenate[Any, P], Flow[Rows[M]]]) -> None:
        def called(self: Any, *args: Any, **named: Any) -> Page[M]:
            page = Page(*self._loop.run(written(self, *args, **named)))
            page._fetch = lambda cursor: called(self, *args, **{**named, "after": cursor})
            return page

        async def awaited(self: Any, *args: Any, **named: Any) -> AsyncPage[M]:
            page = AsyncPage(*await self._loop.run(written(self, *args, **named)))
            page._fetch = lambda cursor: awaited(self, *args, **{**named, "after": cursor})
            return page

        super().__init__(written, called, awaited, ("Flow[Rows[{}]]", "Page[{}]", "AsyncPage[{}]"))

    @overload
    def __get__(self, one: Called, owner: type) -> Callable[P, Page[M]]: ...

    @overload
    def __get__(self, one: Awaited, owner: type) -> Callable[P, Coroutine[Any, Any, AsyncPage[M]]]: ...

    @overload
    def __get__(self, one: object, owner: type) -> Callable[P, Any]: ...

    def __get__(self, one: object, owner: type) -> Any:
        return self._of(one, owner)


class streamed(Twins, Generic[P, T]):  # noqa: N801
    """A method that returns an iterator over what its stream emits: an asynchronous one, not awaited itself, where it is Awaited."""

    def __init__(self, written: Callable[Concatenate[Any, P], Stream[T]]) -> None:
        def called(self: Any, *args: P.args, **named: P.kwargs) -> Iterator[T]:
            values: Iterator[T] = self._loop.iterate(written(self, *args, **named))
            return values

        def awaited(self: Any, *args: P.args, **named: P.kwargs) -> AsyncIterator[T]:
            values: AsyncIterator[T] = self._loop.iterate(written(self, *args, **named))
            return values

        super().__init__(written, called, awaited, ("Stream[{}]", "Iterator[{}]", "AsyncIterator[{}]"))

    @overload
    def __get__(self, one: Called, owner: type) -> Callable[P, Iterator[T]]: ...

    @overload
    def __get__(self, one: Awaited, owner: type) -> Callable[P, AsyncIterator[T]]: ...

    @overload
    def __get__(self, one: object, owner: type) -> Callable[P, Any]: ...

    def __get__(self, one: object, owner: type) -> Any:
        return self._of(one, owner)
