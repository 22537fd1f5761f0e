"""Datapoints that did not make it: what is known of each, and the exception that a call ends with which was to add them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from amends.problems import CATALOGUE, Problem

from ._datapoints import Datapoint
from ._exceptions import AmendsError, ConfigurationError

_EXAMPLES: Final = 3
_GROUPS: Final = 8
_SHOWN_CHARS: Final = 160


@dataclass(frozen=True, slots=True)
class FailedUpload:
    """A datapoint that did not make it, and why.

    error_type: of the problem, in camel case. exception: what this machine met, None where the server said it. stage: how far
    an asset came (``read``, ``download`` …), None for what is no asset's fault. http_status: what a URL answered, else what the
    server said of the datapoint, None where it was not asked. request_id: for the server's log.
    """

    item: Datapoint
    error_message: str
    error_type: str
    timestamp: datetime
    exception: Exception | None
    stage: str | None
    http_status: int | None
    request_id: str | None
    problem: Problem

    @property
    def reason(self) -> str:
        """What went wrong, in a sentence that is the same for all of the kind and names no file."""
        row = CATALOGUE.get(self.problem.slug)
        if row is None:
            return self.problem.title
        return row.meaning if "{" in row.detail else row.detail


def failed_upload(
    item: Datapoint, problem: Problem, timestamp: datetime, exception: Exception | None = None
) -> FailedUpload:
    """Make one of a problem."""
    said = problem.extensions
    status = said.get("upstream_status")
    if not isinstance(status, int):
        status = problem.status if exception is None else None
    stage = said.get("stage")
    return FailedUpload(
        item,
        problem.detail,
        "".join(word.capitalize() for word in problem.slug.split("_")),
        timestamp,
        exception,
        stage if isinstance(stage, str) else None,
        status,
        problem.request_id,
        problem,
    )


class FailedUploadException(AmendsError):
    """Some datapoints did not make it; the others stand.

    detailed_failures: each of them with its reason. total: datapoints that were to be added. dataset: where the others are.
    job_definition, order: made with what succeeded and ready to use, None where nothing did or none was asked for.
    """

    def __init__(
        self,
        detailed_failures: Sequence[FailedUpload],
        total: int,
        *,
        dataset: Any = None,
        job_definition: Any = None,
        order: Any = None,
        retry: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(len(detailed_failures), total)
        self.detailed_failures = list(detailed_failures)
        self.total = total
        self.dataset = dataset
        self.job_definition = job_definition
        self.order = order
        self._retry = retry

    @property
    def failed_uploads(self) -> list[Datapoint]:
        """The datapoints that failed, as they were given."""
        return [failure.item for failure in self.detailed_failures]

    @property
    def failures_by_reason(self) -> dict[str, list[Datapoint]]:
        """A sentence that names no file → the datapoints that failed so, the most frequent first."""
        return _grouped((failure.reason, failure.item) for failure in self.detailed_failures)

    @property
    def failures_by_stage(self) -> dict[str, list[Datapoint]]:
        """How far an asset came → the datapoints that failed there, the most frequent first; what is no asset's fault by its code."""
        return _grouped((failure.stage or failure.problem.code, failure.item) for failure in self.detailed_failures)

    def retry(self) -> Any:
        """Send only the failed ones, into the same dataset; return the finished definition or order, or the dataset where neither
        was asked for. Awaitable where the call was that raised this.

        Raises FailedUploadException for those that fail again, and ConfigurationError on a copy that came from another process,
        which holds no client.
        """
        if self._retry is None:
            raise ConfigurationError(
                "This exception holds no client: get the dataset and call add_datapoints(e.failed_uploads) instead"
            )
        return self._retry()

    def __str__(self) -> str:
        failed = len(self.detailed_failures)
        stand = self.total - failed
        head = f"{failed:,} of {self.total:,} datapoints failed ({_share(failed, self.total)}), {stand:,} stand"
        where = f" in dataset {self.dataset.name!r} ({self.dataset.id})" if self.dataset is not None else ""
        lines = [f"{head}{where}."]
        groups = _kinds(self.detailed_failures)
        for group in groups[:_GROUPS]:
            lines += _told(group)
        if len(groups) > _GROUPS:
            rest = sum(map(len, groups[_GROUPS:]))
            lines.append(f"  {rest:,} more in {len(groups) - _GROUPS} other groups")
        lines.append("failed_uploads lists them, detailed_failures says why; retry() sends only these again.")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        # A client, with its open connections, stays in the process it belongs to.
        made = (self.dataset, self.job_definition, self.order)
        return _again, (type(self), self.detailed_failures, self.total, *made)


FailedUploadError = FailedUploadException


def _again(
    cls: type[FailedUploadException],
    failures: list[FailedUpload],
    total: int,
    dataset: Any,
    definition: Any,
    order: Any,
) -> FailedUploadException:
    return cls(failures, total, dataset=dataset, job_definition=definition, order=order)


def _grouped(pairs: Iterable[tuple[str, Datapoint]]) -> dict[str, list[Datapoint]]:
    found: dict[str, list[Datapoint]] = defaultdict(list)
    for name, item in pairs:
        found[name].append(item)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


def _kinds(failures: Iterable[FailedUpload]) -> list[list[FailedUpload]]:
    """Failures of one type, stage and status together, the largest group first."""
    groups: dict[tuple[str, str | None, int | None], list[FailedUpload]] = defaultdict(list)
    for failure in failures:
        groups[failure.error_type, failure.stage, failure.http_status].append(failure)
    return sorted(groups.values(), key=lambda group: -len(group))


def _told(group: Sequence[FailedUpload]) -> list[str]:
    first = group[0]
    status = "" if first.problem.extensions.get("upstream_status") is None else f", answered {first.http_status}"
    at = f" at stage '{first.stage}'{status}" if first.stage else ""
    lines = [f"  {len(group):,} × {first.error_type}{at}. {first.problem.remedy.hint}"]
    for failure in group[:_EXAMPLES]:
        asset = failure.item.asset if isinstance(failure.item.asset, str) else ", ".join(failure.item.asset)
        lines.append(f"    {_narrow(asset)}: {_short(failure.error_message)}")
    if len(group) > _EXAMPLES:
        lines.append(f"    … and {len(group) - _EXAMPLES:,} more")
    return lines


def _share(failed: int, total: int) -> str:
    """In per cent; what is not nothing is not shown as nothing."""
    share = failed / max(total, 1)
    return "<0.01%" if 0 < share < 0.00005 else f"{share:.2%}"


def _narrow(asset: str) -> str:
    """An asset on one line: its beginning and its end, where the file's name stands."""
    line = " ".join(asset.split())
    half = _SHOWN_CHARS // 2
    return line if len(line) <= _SHOWN_CHARS else f"{line[: half - 1]}…{line[-half:]}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"
