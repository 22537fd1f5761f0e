-- What PostgreSQL takes in other words than SQLite, see ../sqlite/runs.sql, and what it has to lock.

-- name: lock_run
-- Before the run is looked at by whoever moves it.
select 1 from run where id = ? for update;

-- name: run_by_id
select * from run_counted where id = :id and state <> 'receiving' and deleted = 0;

-- name: run_by_no
select * from run_counted where no = :run_no;

-- name: find
select * from run_counted
where workspace_id = :workspace_id and state <> 'receiving' and deleted = 0
  and (:kind is null or kind = :kind) and (:state is null or state = :state)
  and (:after is null or id < :after)
order by id desc limit :limit;

-- name: unfinished
select * from run_counted
where state in ('validating', 'in_progress', 'finalizing', 'cancelling') and deleted = 0 order by no;

-- name: children
select * from run_counted
where root_id = (select root_id from run where id = :id) and parent_id is not null
  and state <> 'receiving' and deleted = 0
order by no;

-- name: count_outcomes
-- In a shard at random.
insert into run_count (run_no, shard, succeeded, errored, canceled, expired)
values (:run_no, floor(random() * 16)::integer, :succeeded, :errored, :canceled, :expired)
on conflict (run_no, shard) do update set
  succeeded = run_count.succeeded + excluded.succeeded, errored = run_count.errored + excluded.errored,
  canceled = run_count.canceled + excluded.canceled, expired = run_count.expired + excluded.expired;

-- name: finish
update run set state = :state, ending = :state, paused_reason = null,
  completed_at = case when :state = 'completed' then :now else completed_at end,
  failed_at = case when :state = 'failed' then :now else failed_at end,
  cancelled_at = case when :state = 'cancelled' then :now else cancelled_at end,
  expired_at = case when :state = 'expired' then :now else expired_at end
where no = :run_no and state in ('finalizing', 'cancelling');

-- name: nothing_left
-- One statement, so one snapshot: what moves meanwhile is seen in one place or the other.
select not exists (select 1 from pending where run_no = :run_no and not held)
  and not exists (select 1 from lease where run_no = :run_no)
  and not exists (select 1 from deferred where run_no = :run_no);

-- name: release_held
update pending set held = false where run_no = :run_no and held;

-- name: mark_deleted
update run set deleted = 1, state = case when state = 'receiving' then 'cancelled' else state end where no = :run_no;

-- name: receiving
select no from run where state = 'receiving' and deleted = 0 order by no for update;

-- name: garbage
select run_no, what, next_key from garbage order by run_no limit 1 for update skip locked;

-- name: slice_end
select max(key) from (
  select key from item where key >= :next_key and key <= :last_key order by key limit :limit) as slice;

-- name: delete_pending
delete from pending where run_no = :run_no and lo in (
  select lo from pending where run_no = :run_no limit nullif(:limit, -1));

-- name: references
select distinct sha256 from blob_reference where sha256 in (select jsonb_array_elements_text(?::jsonb));

-- name: delete_run
with gone as (delete from run where no = ? returning no),
  counts as (delete from run_count where run_no in (select no from gone))
delete from completed where run_no in (select no from gone);

-- name: conservation
select r.total,
  (select count(*) from outcome where key between r.no << 32 and (r.no << 32) | 4294967295),
  (select count(*) from deferred d where d.run_no = r.no and d.lease_id is null),
  (select coalesce(sum(p.hi - p.lo + 1), 0)::bigint from pending p where p.run_no = r.no),
  (select coalesce(sum(l.remaining), 0)::bigint from lease l where l.run_no = r.no)
from run r where r.id = ? and r.deleted = 0;

-- name: backlog
select
  (select coalesce(sum(hi - lo + 1), 0)::bigint from pending where not held),
  (select coalesce(sum(remaining), 0)::bigint from lease),
  (select count(*) from deferred where lease_id is null),
  (select count(*) from run where state in ('validating', 'in_progress', 'finalizing', 'cancelling') and deleted = 0),
  (select min(d.due_ms) from deferred d join run r on r.no = d.run_no
   where d.lease_id is null and r.state = 'in_progress' and r.paused_reason is null);
