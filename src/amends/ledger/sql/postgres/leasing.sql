-- What PostgreSQL takes in other words than SQLite, see ../sqlite/leasing.sql, and what it has to lock.

-- name: lock_lease
-- Before the lease is looked at: what is read next is then read after whoever had it.
select 1 from lease where id = ? for update;

-- name: ready_runs
select r.no, r.workspace_id, r.priority, r.kind,
  exists (select 1 from deferred d where d.run_no = r.no and d.lease_id is null and d.due_ms <= :now_ms),
  exists (select 1 from pending p where p.run_no = r.no and not p.held),
  r.price
from run r
where r.state = 'in_progress' and r.paused_reason is null and r.deleted = 0;

-- name: next_span
-- Of those that nobody is just cutting.
select p.lo, p.hi, p.lapses,
  exists (select 1 from suspect s where s.key between (p.run_no << 32) | p.lo and (p.run_no << 32) | p.hi),
  r.id, r.kind, r.mode, r.params, r.request_id, r.public_url, r.deadline
from pending p join run r on r.no = p.run_no
where p.run_no = :run_no and not p.held
order by case when p.lapses < 3 then 0 else p.lapses end, p.lo limit 1
for update of p skip locked;

-- name: lock_span
-- Wait for one that somebody is just cutting.
select 1 from pending where run_no = :run_no and not held
order by case when lapses < 3 then 0 else lapses end, lo limit 1
for update;

-- name: insert_span
insert into pending (run_no, lo, hi, lapses, held) values (:run_no, :lo, :hi, :lapses, false);

-- name: payload_bytes
select coalesce(sum(octet_length(payload)), 0)::bigint from item where key between :lo and :hi;

-- name: within_bytes
select count(*) from (
  select sum(octet_length(payload)) over (order by key) as bytes, key from item where key between :lo and :hi) as weighed
where bytes <= :max_bytes or key = :lo;

-- name: pack
select string_agg(
  convert_to((key & 4294967295)::text || e'\t0\t0\t' || custom_id || e'\t', 'UTF8') || payload, '\x0a'::bytea order by key)
from item where key between :lo and :hi;

-- name: pack_suspects
select string_agg(
  convert_to((i.key & 4294967295)::text || e'\t0\t' || coalesce(s.deaths, 0) || e'\t' || i.custom_id || e'\t', 'UTF8')
    || i.payload, '\x0a'::bytea order by i.key)
from item i left join suspect s on s.key = i.key where i.key between :lo and :hi;

-- name: lease_due
with due as (
  select d.key, d.due_ms from deferred d
  where d.run_no = :run_no and d.lease_id is null and d.due_ms <= :now_ms order by d.due_ms, d.key limit :limit
  for update skip locked),
weighed as (
  select due.key, row_number() over sooner as place, sum(octet_length(i.payload)) over sooner as bytes
  from due join item i on i.key = due.key window sooner as (order by due.due_ms, due.key))
update deferred set lease_id = :lease_id from weighed
where deferred.key = weighed.key and (weighed.place = 1 or weighed.bytes <= :max_bytes);

-- name: pack_deferred
select string_agg(
  convert_to((i.key & 4294967295)::text || e'\t' || d.attempts || e'\t' || coalesce(s.deaths, 0) || e'\t' || i.custom_id
    || e'\t', 'UTF8') || i.payload, '\x0a'::bytea order by i.key)
from deferred d join item i on i.key = d.key left join suspect s on s.key = d.key
where d.lease_id = :lease_id;

-- name: lease
-- Commits number nothing here (see insert_completion), so the outcomes so far are not counted.
select l.run_no, l.lo, l.hi, l.lapses, l.remaining, r.state, 0,
  exists (select 1 from deferred d where d.key between (l.run_no << 32) | l.lo and (l.run_no << 32) | l.hi),
  r.price
from lease l join run r on r.no = l.run_no where l.id = ?;

-- name: insert_outcomes
copy outcome (key, status, problem, attempts, elapsed_ms, line, cost, ended_at) from stdin (format binary);

-- name: insert_completion
-- Without its place, which a reader gives it: see place_completed.
insert into completed (run_no, lo, hi) values (:run_no, :lo, :hi);

-- name: is_unplaced
select exists (select 1 from completed where run_no = :run_no);

-- name: place_completed
-- Give what was committed since its places behind the others, in the order in which it was written. The run is locked.
with behind as (
  select coalesce((select start + hi - lo + 1 from completion where run_no = :run_no order by start desc limit 1), 0) as place),
taken as (delete from completed where run_no = :run_no returning no, lo, hi)
insert into completion (run_no, start, lo, hi)
select :run_no, behind.place + coalesce(
    sum(taken.hi - taken.lo + 1) over (order by taken.no rows between unbounded preceding and 1 preceding), 0)::bigint,
  taken.lo, taken.hi
from taken, behind;

-- name: defer
insert into deferred (key, run_no, attempts, due_ms)
select ? + column1, ?, column2, column3 from unnest(?::bigint[], ?::bigint[], ?::bigint[]) as rows (column1, column2, column3)
on conflict (key) do update set attempts = excluded.attempts, due_ms = excluded.due_ms, lease_id = null;

-- name: drop_deferred
delete from deferred where key in (select value::bigint from jsonb_array_elements_text(:keys::jsonb) as keys (value));

-- name: reported
select json_agg(seq order by seq)::text from (
  select key & 4294967295 as seq from outcome where key between :lo and :hi
  union select key & 4294967295 from deferred where key between :lo and :hi) as both_ways;

-- name: insert_attempts
insert into attempt (key, number, at, problem)
select distinct on (column1, column2) ? + column1, column2, column3, convert_from(column4, 'UTF8')
from unnest(?::bigint[], ?::bigint[], ?::double precision[], ?::bytea[]) with ordinality
  as rows (column1, column2, column3, column4, place)
order by column1, column2, place desc
on conflict (key, number) do update set at = excluded.at, problem = excluded.problem;

-- name: add_deaths
insert into suspect (key, deaths)
select value::bigint, count(*) from jsonb_array_elements_text(:keys::jsonb) as keys (value) group by value
on conflict (key) do update set deaths = suspect.deaths + excluded.deaths;

-- name: leases_of_owner
select id from lease where owner = ? order by id for update;

-- name: leases_of_run
select id from lease where run_no = ? order by id for update;

-- name: all_leases
select id from lease order by id for update;

-- name: expired_leases
-- One that somebody holds is just being renewed or reported under.
select id from lease where expires_ms <= ? order by expires_ms for update skip locked;

-- name: sweepable_spans
select lo, hi from pending where run_no = :run_no order by lo limit 400 for update;

-- name: sweepable_deferred
select key, attempts from deferred where run_no = :run_no and lease_id is null order by key limit :limit for update;

-- name: custom_ids
select string_agg(custom_id, e'\n' order by key) from item where key between :lo and :hi;

-- name: custom_ids_of
select string_agg(custom_id, e'\n' order by key) from item
where key in (select value::bigint from jsonb_array_elements_text(:keys::jsonb) as keys (value));

-- name: pending_spans_with
select lo, hi, lapses, held from (
  select lo, hi, lapses, held from pending where run_no = :run_no and lo <= :seq order by lo desc limit 1) as last
where hi >= :seq;

-- name: now_ms
-- Leases and deferrals are on the database's clock.
select (extract(epoch from clock_timestamp()) * 1000)::bigint;
