"""The address of a PostgreSQL database, as it may be shown."""

from __future__ import annotations

import re
from typing import Final

_IN_FRONT: Final = re.compile(r"(://[^:@/?]*):.*@", re.DOTALL)
_IN_QUERY: Final = re.compile(r"(password=)[^&#]*")


def is_postgres(address: str) -> bool:
    return address.startswith(("postgresql://", "postgres://"))


def masked(address: str) -> str:
    """The address without its password, wherever that stands; rather too much is masked than too little."""
    return _IN_QUERY.sub(r"\1********", _IN_FRONT.sub(r"\1:********@", address))
