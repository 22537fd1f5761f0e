"""Resources that can be asked for more: each knows the methods of the client that it came from."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, PrivateAttr

from ._exceptions import ConfigurationError
from ._flow import Flow
from ._models import Resource
from ._operations import Rows
from ._twins import Methods, Twins


class Bound(Resource):
    """What the client that it came from can be asked about. A copy from another process holds no client."""

    model_config = ConfigDict(ignored_types=(Twins,))

    _methods: Any = PrivateAttr(default=None)
    _again: ClassVar[str] = "get {!r} again"
    """How to have one that holds a client."""

    def _bound(self) -> Any:
        if self._methods is None:
            raise ConfigurationError(f"This {type(self).__name__} holds no client: {self._again.format(self.id)}")
        return self._methods

    @property
    def _loop(self) -> Any:
        return self._bound()._loop

    @property
    def _context(self) -> Any:
        return self._bound()._context

    def __getstate__(self) -> dict[Any, Any]:
        # A client, with its open connections, stays in the process it belongs to.
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**state["__pydantic_private__"], "_methods": None}}


B = TypeVar("B", bound=Bound)


def bound(methods: Methods, flow: Flow[B]) -> Flow[B]:
    """What ``flow`` returns, knowing ``methods``."""
    one = yield from flow
    one._methods = methods
    return one


def bound_rows(methods: Methods, flow: Flow[Rows[B]]) -> Flow[Rows[B]]:
    """The rows that ``flow`` returns, each knowing ``methods``."""
    rows, has_more, cursor = yield from flow
    for one in rows:
        one._methods = methods
    return rows, has_more, cursor
