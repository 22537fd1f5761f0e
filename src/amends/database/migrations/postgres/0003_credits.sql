-- The twin of SQLite's 0003.

alter table run
  add column price bigint not null default 0,
  add column max_cost bigint,
  add column on_credit_exhausted text not null default 'pause';

create or replace view run_counted as
select r.no, r.id, r.workspace_id, r.kind, r.model, r.params, r.mode, r.metadata, r.request_id, r.public_url,
  r.validation, r.failure_tolerance, r.priority, r.completion_window, r.deadline, r.limit_items, r.sample_n,
  r.sample_seed, r.parent_id, r.root_id, r.created_by, r.state, r.ending, r.paused_reason, r.total,
  c.succeeded, c.errored, c.canceled, c.expired, r.held, r.error, r.created_at, r.in_progress_at, r.finalizing_at,
  r.completed_at, r.failed_at, r.cancelling_at, r.cancelled_at, r.expired_at, r.lines_deleted_at, r.deleted,
  r.price, r.max_cost, r.on_credit_exhausted
from run r cross join lateral (
  select coalesce(sum(n.succeeded), 0)::bigint as succeeded, coalesce(sum(n.errored), 0)::bigint as errored,
    coalesce(sum(n.canceled), 0)::bigint as canceled, coalesce(sum(n.expired), 0)::bigint as expired
  from run_count n where n.run_no = r.no) c;

create table credit (
  workspace_id text collate "C" primary key,
  balance bigint not null
);

create table credit_hold (
  run_no bigint primary key,
  workspace_id text collate "C" not null,
  held bigint not null default 0,
  charged bigint not null default 0
) with (fillfactor = 50);

create index credit_hold_of_workspace on credit_hold (workspace_id);

create table credit_entry (
  no bigint generated always as identity primary key,
  id text collate "C" not null unique,
  workspace_id text collate "C" not null,
  kind text not null check (kind in ('top_up', 'charge')),
  amount bigint not null,
  run_id text collate "C",
  note text,
  created_by text,
  created_at double precision not null
);

create index credit_entry_of_workspace on credit_entry (workspace_id, no, amount);
