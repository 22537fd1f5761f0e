-- name: ready_runs
-- Runs in progress: (no, workspace_id, priority, kind, whether a deferred item is due, whether a span waits, price).
select r.no, r.workspace_id, r.priority, r.kind,
  exists (select 1 from deferred d where d.run_no = r.no and d.lease_id is null and d.due_ms <= :now_ms),
  exists (select 1 from pending p indexed by pending_open where p.run_no = r.no and p.held = 0),
  r.price
from run r
where r.state = 'in_progress' and r.paused_reason is null and r.deleted = 0;

-- name: next_span
-- The lowest span of a run, of those that lapsed three times or more the one that lapsed least, after the
-- others; whether suspects are in it, and what a lease says of the run (see lease_head).
select p.lo, p.hi, p.lapses,
  exists (select 1 from suspect s where s.key between (p.run_no << 32) | p.lo and (p.run_no << 32) | p.hi),
  r.id, r.kind, r.mode, r.params, r.request_id, r.public_url, r.deadline
from pending p indexed by pending_open join run r on r.no = p.run_no
where p.run_no = :run_no and p.held = 0 order by iif(p.lapses < 3, 0, p.lapses), p.lo limit 1;

-- name: shorten_span
update pending set lo = :next where run_no = :run_no and lo = :lo;

-- name: drop_span
delete from pending where run_no = :run_no and lo = :lo;

-- name: insert_span
insert into pending (run_no, lo, hi, lapses, held) values (:run_no, :lo, :hi, :lapses, 0);

-- name: insert_piece
insert into pending (run_no, lo, hi, lapses, held) values (:run_no, :lo, :hi, :lapses, :held);

-- name: lease_head
select id, kind, mode, params, request_id, public_url, deadline from run where no = ?;

-- name: insert_lease
insert into lease (id, run_no, lo, hi, lapses, owner, remaining, expires_ms)
values (:id, :run_no, :lo, :hi, :lapses, :owner, :remaining, :expires_ms);

-- name: payload_bytes
select coalesce(sum(octet_length(payload)), 0) from item where key between :lo and :hi;

-- name: within_bytes
-- How many of the first items fit: the first always does.
select count(*) from (
  select sum(octet_length(payload)) over (order by key) as bytes, key from item where key between :lo and :hi)
where bytes <= :max_bytes or key = :lo;

-- name: pack
-- A span's items as one text (see amends.ledger.pack_items).
select cast(group_concat(line, char(10)) as blob) from (
  select (key & 4294967295) || char(9) || '0' || char(9) || '0' || char(9) || custom_id || char(9) || payload as line
  from item where key between :lo and :hi order by key);

-- name: pack_suspects
-- The same for a span that holds suspects.
select cast(group_concat(line, char(10)) as blob) from (
  select (i.key & 4294967295) || char(9) || '0' || char(9) || coalesce(s.deaths, 0) || char(9) || i.custom_id
    || char(9) || i.payload as line
  from item i left join suspect s on s.key = i.key where i.key between :lo and :hi order by i.key);

-- name: lease_due
-- Lease the deferred items of a run that are due longest, at most :limit and, beyond the first, :max_bytes of them.
-- In the order of the index: sorting all that is due would hold the writer for as long as there are many.
update deferred set lease_id = :lease_id where key in (
  select key from (
    select key, row_number() over sooner as place, sum(bytes) over sooner as bytes from (
      select d.key, d.due_ms, octet_length(i.payload) as bytes from deferred d join item i on i.key = d.key
      where d.run_no = :run_no and d.lease_id is null and d.due_ms <= :now_ms order by d.due_ms, d.key limit :limit)
    window sooner as (order by due_ms, key))
  where place = 1 or bytes <= :max_bytes);

-- name: pack_deferred
select cast(group_concat(line, char(10)) as blob) from (
  select (i.key & 4294967295) || char(9) || d.attempts || char(9) || coalesce(s.deaths, 0) || char(9) || i.custom_id
    || char(9) || i.payload as line
  from deferred d join item i on i.key = d.key left join suspect s on s.key = d.key
  where d.lease_id = :lease_id order by i.key);

-- name: lease
-- A lease, the state of its run and the outcomes that the run has so far, whether items of its span are deferred, and what an
-- item costs.
select l.run_no, l.lo, l.hi, l.lapses, l.remaining, r.state, r.succeeded + r.errored + r.canceled + r.expired,
  exists (select 1 from deferred d where d.key between (l.run_no << 32) | l.lo and (l.run_no << 32) | l.hi),
  r.price
from lease l join run r on r.no = l.run_no where l.id = ?;

-- name: renew
update lease set expires_ms = :expires_ms where id = :id;

-- name: reduce_lease
update lease set remaining = remaining - :items where id = :id;

-- name: drop_lease
delete from lease where id = ?;

-- name: insert_outcomes
-- Rows in the field order of Outcome; ?1 the run's first key, ?2 now.
insert into outcome (key, status, problem, attempts, elapsed_ms, line, cost, ended_at)
select ?1 + column1, column2, column3, column4, column5, column6, column7, ?2 from

-- name: insert_completion
insert into completion (run_no, start, lo, hi) values (:run_no, :start, :lo, :hi);

-- name: deferred_in
-- Seqs of the range that are deferred.
select key & 4294967295 from deferred where key between :lo and :hi order by key;

-- name: deferred_of
-- Seqs that a lease on deferred items still holds.
select key & 4294967295 from deferred where lease_id = ? order by key;

-- name: defer
-- Rows of (seq, attempts, due_ms); ?1 the run's first key, ?2 the run.
insert or replace into deferred (key, run_no, attempts, due_ms) select ?1 + column1, ?2, column2, column3 from

-- name: drop_deferred
delete from deferred where key in (select value from json_each(:keys));

-- name: return_deferred
update deferred set lease_id = null, due_ms = :now_ms where lease_id = :lease_id;

-- name: reported
-- Seqs of a leased span that are accounted for, outcome or deferral.
select json_group_array(seq) from (
  select key & 4294967295 as seq from outcome where key between :lo and :hi
  union select key & 4294967295 from deferred where key between :lo and :hi order by seq);

-- name: insert_attempts
-- Rows in the field order of FailedAttempt; ?1 the run's first key.
insert or replace into attempt (key, number, at, problem) select ?1 + column1, column2, column3, cast(column4 as text) from

-- name: trim_attempts
-- Keep the newest of an item.
delete from attempt where key = :key and number <= (
  select number from attempt where key = :key order by number desc limit 1 offset :kept);

-- name: add_deaths
insert into suspect (key, deaths) select value, 1 from json_each(:keys) where true
on conflict (key) do update set deaths = deaths + 1;

-- name: leases_of_owner
select id from lease where owner = ?;

-- name: leases_of_run
select id from lease where run_no = ?;

-- name: all_leases
select id from lease;

-- name: expired_leases
select id from lease where expires_ms <= ? order by expires_ms;

-- name: sweepable_spans
-- Held spans too.
select lo, hi from pending where run_no = :run_no order by lo limit 400;

-- name: sweepable_deferred
select key, attempts from deferred where run_no = :run_no and lease_id is null order by key limit :limit;

-- name: custom_ids
-- The custom_ids of a range of keys, one a line.
select group_concat(custom_id, char(10)) from (select custom_id from item where key between :lo and :hi order by key);

-- name: custom_ids_of
select group_concat(custom_id, char(10)) from (
  select custom_id from item where key in (select value from json_each(:keys)) order by key);

-- name: pending_spans_with
-- The unleased span that holds a seq. Spans do not overlap, so it is the last that begins at or before it: read from there,
-- one row is looked at and not every span below.
select lo, hi, lapses, held from (
  select lo, hi, lapses, held from pending where run_no = :run_no and lo <= :seq order by lo desc limit 1)
where hi >= :seq;
