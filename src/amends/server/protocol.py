"""HTTP/1.1 on the socket: uvicorn's, with our words for what is no HTTP at all."""

from __future__ import annotations

import json
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from amends.database import new_id
from amends.problems import headers, problem

_REASON: Final = "The request is not HTTP/1.1."


def protocol_for(public_url: str) -> type[HttpToolsProtocol]:
    """The protocol class of a server with that public URL.

    What cannot be parsed never reaches the application, and is answered with a problem all the same.
    """

    class Protocol(HttpToolsProtocol):
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
