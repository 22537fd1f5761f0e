"""HTTP/1.1 on the socket: uvicorn's, with our words for what is no HTTP at all, and a bound on what leads nowhere.

httptools keeps a request's path, headers and trailers until they are complete, however long they are. So whatever arrives is
counted until something comes of it (a head is complete, some body, an end), and a peer from whom nothing comes is cut off.
"""

from __future__ import annotations

import json
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from amends.database import new_id
from amends.problems import headers, problem
from amends.server.simulation import DROPPING

_REASON: Final = "The request is not HTTP/1.1."


def protocol_for(public_url: str, head_bytes: int) -> type[HttpToolsProtocol]:
    """The protocol class of a server with that public URL.

    What cannot be parsed never reaches the application, and is answered with a problem all the same, as is a head of more than
    ``head_bytes`` that has not ended (one that arrived whole is for the application to refuse).
    """

    class Protocol(HttpToolsProtocol):
        barren_bytes = 0

        def data_received(self, data: bytes) -> None:
            self.barren_bytes += len(data)
            super().data_received(data)
            if self.barren_bytes > head_bytes and not self.transport.is_closing():
                if self.cycle is None or self.cycle.response_complete:
                    self.send_400_response(_REASON)
                else:
                    self.transport.abort()  # endless trailers: the application is at work on it

        def on_headers_complete(self) -> None:
            self.barren_bytes = 0
            self.scope["extensions"] = {DROPPING: self.transport.abort}  # type: ignore[dict-item]
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self.barren_bytes = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self.barren_bytes = 0
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            self.transport.write(_refusal(public_url))
            self.transport.close()

    return Protocol


def _refusal(public_url: str) -> bytes:
    what = problem("malformed_request", _REASON, instance="/", request_id=new_id("req_"))
    body = json.dumps(what.to_body(public_url)).encode()
    fields = {
        **headers(what),
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "x-request-id": what.request_id,
        "connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode("ascii") + body
