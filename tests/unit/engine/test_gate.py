"""How many calls may go where, and what is learnt from how they end."""

from __future__ import annotations

from amends.engine._calls import call_ends
from amends.engine._gate import CallEnd, Event, Gate
from amends.engine.processor import Upstream
from amends.ledger import Deferral, FailedAttempt, Outcome, ResultLines, Share
from amends.problems import problem
from amends.resilience import Closed, Opened

RUN = 7
WELL, UNWELL, LIMITED = CallEnd("well", 0.1), CallEnd("unwell", is_retried=True), CallEnd("limited", retry_after=5.0)


class Desk:
    """Claims from a gate as the owner does, on a clock moved by hand."""

    def __init__(self, *upstreams: Upstream) -> None:
        self.gate = Gate()
        self.now = 100.0
        self.leases = 0
        self.events: list[Event] = []
        self.gate.know(RUN, upstreams or (upstream(),))

    def share(self, most: int = 100) -> Share:
        return self.gate.shares(most, self.now)[RUN]

    def lease(self, items: int = 1) -> str:
        self.leases += 1
        lease_id = f"l{self.leases}"
        leave = self.gate.leased(lease_id, RUN, items, self.now)
        assert leave is not None
        self.name, self.is_probe = leave
        return lease_id

    def call(self, *ends: CallEnd) -> str:
        """Lease, report and end; the upstream's name."""
        lease_id = self.lease(len(ends))
        self.report(lease_id, *ends)
        self.gate.ended(lease_id)
        return self.name

    def report(self, lease_id: str, *ends: CallEnd) -> None:
        self.events += self.gate.reported(lease_id, ends, self.now)

    def open_breaker(self) -> None:
        while not self.gate.is_shut(RUN, self.now):
            self.share()
            self.call(UNWELL)

    def whats(self) -> list[type]:
        return [type(event.what) for event in self.events if event.what is not None]


def upstream(number: int = 0, **changes: object) -> Upstream:
    members: dict[str, object] = {"name": f"acme/chat/{number}", "provider": "acme", "concurrency": 4, **changes}
    return Upstream(**members)  # type: ignore[arg-type]


def test_a_gate_without_runs_has_no_opinion() -> None:
    gate = Gate()
    assert not gate
    assert gate.shares(10, 0.0) == {}
    assert gate.leased("l", 1, 3, 0.0) is None
    assert gate.opens_in(0.0) is None
    assert not gate.is_shut(1, 0.0)


def test_calls_under_way_take_room_until_they_are_reported_or_their_lease_ends() -> None:
    desk = Desk()
    assert desk.share() == Share(4, 4)
    assert desk.share(most=2) == Share(2, 2)
    lease_id = desk.lease(3)
    assert desk.share() == Share(1, 1)
    desk.report(lease_id, WELL)
    assert desk.share() == Share(2, 2)
    desk.gate.ended(lease_id)
    assert desk.share() == Share(4, 4)
    desk.gate.ended(lease_id)
    assert desk.share() == Share(4, 4)


def test_more_calls_than_may_be_do_not_upset_the_count() -> None:
    desk = Desk()
    lease_id = desk.lease(10)
    assert desk.share().fresh == 0
    desk.report(lease_id, *[WELL] * 6)
    desk.gate.ended(lease_id)
    assert desk.share().fresh == 4


def test_concurrency_climbs_while_it_is_used_and_halves_when_limited() -> None:
    desk = Desk(upstream(concurrency=64))
    assert desk.share().fresh == 8
    for _ in range(10):
        room = desk.share().fresh
        desk.now += 0.1
        desk.call(*[WELL] * room)
    climbed = desk.share().fresh
    assert climbed > 16
    lease_id = desk.lease(2)
    desk.now += 1.0
    desk.report(lease_id, LIMITED, LIMITED)
    desk.gate.ended(lease_id)
    desk.now += 5.0
    assert desk.share().fresh == climbed // 2


def test_a_cool_down_holds_for_everybody_and_its_end_is_known() -> None:
    desk = Desk()
    desk.call(LIMITED)
    assert desk.share() == Share(0, 0)
    assert desk.gate.opens_in(desk.now) == 5.0
    assert [event.cool_down_seconds for event in desk.events if event.what is None] == [5.0]
    desk.now += 4.9
    assert desk.share() == Share(0, 0)
    desk.now += 0.2
    assert desk.share().fresh > 0


def test_a_remembered_cool_down_holds_before_its_upstream_is_known() -> None:
    gate = Gate()
    gate.calm("acme/chat/0", 3.0, 100.0)
    gate.know(RUN, [upstream()])
    assert gate.shares(10, 102.9)[RUN].fresh == 0
    assert gate.shares(10, 103.1)[RUN].fresh == 4


def test_requests_a_minute_are_spread_over_it() -> None:
    desk = Desk(upstream(concurrency=100, requests_per_minute=120))
    assert desk.share().fresh == 2
    desk.call(WELL, WELL)
    assert desk.share().fresh == 0
    assert desk.gate.opens_in(desk.now) == 0.5
    calls = 0
    for _ in range(600):
        desk.now += 0.1
        if room := desk.share().fresh:
            desk.call(*[WELL] * room)
            calls += room
    assert 118 <= calls <= 122


def test_tokens_a_minute_are_owed_once_they_are_known() -> None:
    desk = Desk(upstream(tokens_per_minute=600))
    desk.call(CallEnd("well", 0.1, tokens=110))
    assert desk.share().fresh == 0
    desk.now += 9.0
    assert desk.share().fresh == 0
    desk.now += 2.0
    assert desk.share().fresh > 0


def test_a_breaker_opens_lets_one_probe_through_and_closes() -> None:
    desk = Desk()
    desk.open_breaker()
    assert Opened in desk.whats()
    assert desk.share() == Share(0, 0)
    wait = desk.gate.opens_in(desk.now)
    assert wait is not None
    desk.now += wait + 0.01
    assert not desk.gate.is_shut(RUN, desk.now)
    assert desk.share() == Share(1, 1)
    probe = desk.lease()
    assert desk.is_probe
    assert desk.share() == Share(0, 0)
    desk.report(probe, UNWELL)
    desk.gate.ended(probe)
    assert desk.gate.is_shut(RUN, desk.now)
    desk.now += 5.1
    assert desk.share() == Share(1, 1)
    desk.call(WELL)
    assert Closed in desk.whats()
    assert desk.share().fresh > 1
    assert not desk.is_probe or desk.share().fresh


def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    desk = Desk()
    desk.open_breaker()
    desk.now += 5.1
    desk.share()
    desk.gate.ended(desk.lease())
    assert desk.share() == Share(1, 1)
    desk.lease()
    assert desk.is_probe


def test_retries_beyond_the_budget_wait_and_first_tries_do_not() -> None:
    desk = Desk(upstream(concurrency=100))
    for _ in range(30):
        desk.call(UNWELL, WELL, WELL, WELL, WELL, WELL, WELL)
        desk.share()
    assert desk.share().fresh > 0
    owed = desk.share().retries == 0
    assert not owed  # 30 failures, 20 tokens and 180 successes that return a tenth each
    for _ in range(12):
        desk.call(UNWELL, WELL, WELL)
    assert desk.share().retries == 0
    assert desk.share().fresh > 0
    desk.now += 30.0
    assert desk.share().retries > 0


def test_of_two_endpoints_the_failing_one_is_left_for_the_other() -> None:
    desk = Desk(upstream(0), upstream(1))
    for _ in range(200):
        desk.share()
        lease_id = desk.lease()
        desk.report(lease_id, UNWELL if desk.name.endswith("0") else WELL)
        desk.gate.ended(lease_id)
    assert not desk.gate.is_shut(RUN, desk.now)
    assert {desk.call(WELL) for _ in range(20)} == {"acme/chat/1"}


def test_a_run_that_is_over_is_forgotten_and_what_is_known_of_its_upstreams_stays() -> None:
    desk = Desk()
    desk.call(LIMITED)
    desk.gate.forget_all_but([])
    assert not desk.gate
    desk.gate.know(RUN, [upstream()])
    assert desk.share() == Share(0, 0)


def test_a_report_is_read_for_what_it_says_of_calls() -> None:
    lines = ResultLines("bpred_1", "req_1", "http://x")

    def tried(seq: int, **members: object) -> FailedAttempt:
        found = problem("upstream_failed", provider="acme", **members)  # type: ignore[arg-type]
        return FailedAttempt(seq, 1, 0.0, lines.problem(f"c{seq}", found))

    def ended(seq: int, slug: str, **members: object) -> Outcome:
        found = problem(slug, **members)  # type: ignore[arg-type]
        return Outcome(seq, "errored", slug, 1, 9, lines.ended(f"c{seq}", "errored", found))

    good = lines.succeeded("c0", b"{}", usage=b'{"input_tokens":3,"output_tokens":4}')
    outcomes = [
        Outcome(0, "succeeded", None, 1, 250, good),
        ended(1, "prediction_failed"),
        ended(2, "upstream_failed", error_code="UPSTREAM_REFUSED", upstream_status=400),
        ended(3, "upstream_failed", error_code="UPSTREAM_REFUSED", upstream_status=None),
        ended(4, "upstream_failed", error_code="UPSTREAM_TIMEOUT"),
        ended(5, "file_not_found"),
    ]
    attempts = [tried(6, error_code="UPSTREAM_RATE_LIMITED", retry_after=2.0), tried(7, error_code="UPSTREAM_ERROR")]
    deferred = [Deferral(6, 1, 2.0), Deferral(7, 1, 1.0), Deferral(8, 1, 1.0)]
    ends = call_ends(outcomes, deferred, attempts, counts_tokens=True)
    assert [(end.ended, end.is_retried) for end in ends] == [
        ("limited", True),
        ("unwell", True),
        ("unrelated", False),
        ("well", False),
        ("well", False),
        ("well", False),
        ("unrelated", False),
        ("unwell", False),
        ("unrelated", False),
    ]
    assert (ends[0].retry_after, ends[3].seconds, ends[3].tokens) == (2.0, 0.25, 7)
