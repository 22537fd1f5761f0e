-- name: run_by_id
-- A visible run.
select * from run where id = :id and state <> 'receiving' and deleted = 0;

-- name: run_by_no
select * from run where no = :run_no;

-- name: run_no
-- Any run, also an invisible one: (no, state, total, root_id).
select no, state, total, root_id from run where id = ? and deleted = 0;

-- name: find
-- Runs of a workspace, newest first.
select * from run
where workspace_id = :workspace_id and state <> 'receiving' and deleted = 0
  and (:kind is null or kind = :kind) and (:state is null or state = :state)
  and (:after is null or id < :after)
order by id desc limit :limit;

-- name: unfinished
select * from run
where state in ('validating', 'in_progress', 'finalizing', 'cancelling') and deleted = 0 order by no;

-- name: children
select * from run
where root_id = (select root_id from run where id = :id) and parent_id is not null
  and state <> 'receiving' and deleted = 0
order by no;

-- name: count_outcomes
-- Add what a commit brought to the run's counts.
update run set succeeded = succeeded + :succeeded, errored = errored + :errored,
  canceled = canceled + :canceled, expired = expired + :expired
where no = :run_no;

-- name: set_paused
update run set paused_reason = :reason where no = :run_no;

-- name: set_max_cost
update run set max_cost = :max_cost where no = :run_no;

-- name: start
update run set state = 'in_progress', in_progress_at = :now where no = :run_no and state = 'validating';

-- name: begin_cancelling
update run set state = 'cancelling', ending = 'cancelled', paused_reason = null, cancelling_at = :now
where no = :run_no and state in ('validating', 'in_progress');

-- name: begin_ending
update run set state = 'finalizing', ending = :ending, error = :error, paused_reason = null, finalizing_at = :now
where no = :run_no and state in ('validating', 'in_progress');

-- name: begin_finalizing
update run set state = 'finalizing', ending = 'completed', finalizing_at = :now where no = :run_no and state = 'in_progress';

-- name: finish
-- The last step of a run; :state is one of the terminal states and names its time.
update run set state = :state, ending = :state, paused_reason = null,
  completed_at = iif(:state = 'completed', :now, completed_at),
  failed_at = iif(:state = 'failed', :now, failed_at),
  cancelled_at = iif(:state = 'cancelled', :now, cancelled_at),
  expired_at = iif(:state = 'expired', :now, expired_at)
where no = :run_no and state in ('finalizing', 'cancelling');

-- name: set_manifest
insert into manifest (run_no, body) values (:run_no, :body);

-- name: manifest
select m.body from manifest m join run r on r.no = m.run_no where r.id = ? and r.deleted = 0;

-- name: nothing_left
-- Whether no item of the run waits or runs; held ones do not count.
select not exists (select 1 from pending indexed by pending_open where run_no = :run_no and held = 0)
  and not exists (select 1 from lease where run_no = :run_no)
  and not exists (select 1 from deferred where run_no = :run_no);

-- name: release_held
update pending set held = 0 where run_no = :run_no and held = 1;

-- name: clear_held
update run set held = 0, paused_reason = null where no = :run_no;

-- name: reduce_held
update run set held = held - :items where no = :run_no;

-- name: mark_lines_deleted
update run set lines_deleted_at = coalesce(lines_deleted_at, :now) where no = :run_no;

-- name: mark_deleted
update run set deleted = 1, state = iif(state = 'receiving', 'cancelled', state) where no = :run_no;

-- name: receiving
select no from run where state = 'receiving' and deleted = 0;

-- name: set_garbage
-- A run that goes away whole outranks its lines.
insert into garbage (run_no, what, next_key) values (:run_no, :what, :run_no << 32)
on conflict (run_no) do update set what = excluded.what, next_key = excluded.next_key;

-- name: garbage
select run_no, what, next_key from garbage order by run_no limit 1;

-- name: move_garbage
update garbage set next_key = :next_key where run_no = :run_no;

-- name: drop_garbage
delete from garbage where run_no = ?;

-- name: slice_end
-- The last key of the next slice of items to clean, null at the end.
select max(key) from (select key from item where key >= :next_key and key <= :last_key order by key limit :limit);

-- name: clear_lines
update outcome set line = null where key between :lo and :hi;

-- name: delete_outcomes
delete from outcome where key between :lo and :hi;

-- name: delete_attempts
delete from attempt where key between :lo and :hi;

-- name: delete_suspects
delete from suspect where key between :lo and :hi;

-- name: delete_deferred
delete from deferred where key between :lo and :hi;

-- name: delete_items
delete from item where key between :lo and :hi;

-- name: delete_names
-- A slice of the run's custom_ids.
delete from item_name where run_no = :run_no and custom_id in (select custom_id from item_name where run_no = :run_no limit :limit);

-- name: delete_origins
delete from item_origin where run_no = :run_no and origin in (select origin from item_origin where run_no = :run_no limit :limit);

-- name: delete_pending
delete from pending where run_no = :run_no and lo in (select lo from pending where run_no = :run_no limit :limit);

-- name: delete_completion
delete from completion where run_no = :run_no and start in (select start from completion where run_no = :run_no limit :limit);

-- name: delete_line_references
delete from blob_reference where run_no = :run_no and what = 'line' and sha256 in (
  select sha256 from blob_reference where run_no = :run_no and what = 'line' limit :limit);

-- name: delete_payload_references
delete from blob_reference where run_no = :run_no and what = 'payload' and sha256 in (
  select sha256 from blob_reference where run_no = :run_no and what = 'payload' limit :limit);

-- name: insert_reference
insert into blob_reference (sha256, run_no, what) values (:sha256, :run_no, :what) on conflict do nothing;

-- name: references
-- Which of the hashes something points to.
select distinct sha256 from blob_reference where sha256 in (select value from json_each(?));

-- name: delete_manifest
delete from manifest where run_no = ?;

-- name: delete_run
delete from run where no = ?;

-- name: conservation
select r.total,
  (select count(*) from outcome where key between r.no << 32 and (r.no << 32) | 4294967295),
  (select count(*) from deferred d where d.run_no = r.no and d.lease_id is null),
  (select coalesce(sum(p.hi - p.lo + 1), 0) from pending p where p.run_no = r.no),
  (select coalesce(sum(l.remaining), 0) from lease l where l.run_no = r.no)
from run r where r.id = ? and r.deleted = 0;

-- name: backlog
select
  (select coalesce(sum(hi - lo + 1), 0) from pending where held = 0),
  (select coalesce(sum(remaining), 0) from lease),
  (select count(*) from deferred where lease_id is null),
  (select count(*) from run where state in ('validating', 'in_progress', 'finalizing', 'cancelling') and deleted = 0),
  (select min(d.due_ms) from deferred d join run r on r.no = d.run_no
   where d.lease_id is null and r.state = 'in_progress' and r.paused_reason is null);

-- name: boot_id
select value from meta where name = 'boot_id';

-- name: set_boot_id
insert into meta (name, value) values ('boot_id', :boot_id) on conflict (name) do update set value = excluded.value;

-- name: everything_due
update deferred set due_ms = 0;

-- name: outdated_lines
-- Runs that still have their lines, of lineages of which no run is unfinished or ended at that time or later: what was
-- retried is read together with what was not.
select id from run
where state in ('completed', 'failed', 'cancelled', 'expired') and deleted = 0 and lines_deleted_at is null
  and coalesce(completed_at, failed_at, cancelled_at, expired_at) < :before
  and not exists (
    select 1 from run newer
    where newer.root_id = run.root_id and newer.deleted = 0 and newer.state <> 'receiving'
      and coalesce(newer.completed_at, newer.failed_at, newer.cancelled_at, newer.expired_at, 9e18) >= :before)
order by coalesce(completed_at, failed_at, cancelled_at, expired_at) limit :limit;

-- name: outdated_runs
-- Runs of lineages of which no run is unfinished or ended at that time or later.
select id from run
where state in ('completed', 'failed', 'cancelled', 'expired') and deleted = 0
  and coalesce(completed_at, failed_at, cancelled_at, expired_at) < :before
  and not exists (
    select 1 from run newer
    where newer.root_id = run.root_id and newer.deleted = 0 and newer.state <> 'receiving'
      and coalesce(newer.completed_at, newer.failed_at, newer.cancelled_at, newer.expired_at, 9e18) >= :before)
order by coalesce(completed_at, failed_at, cancelled_at, expired_at) limit :limit;
