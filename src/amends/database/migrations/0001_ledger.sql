-- The ledger. An item's key is (run.no << 32) | seq: one integer, so that bulk loading appends and a run is one range of keys.

create table meta (
  name text primary key,
  value text not null
) strict, without rowid;

create table run (
  no integer primary key,
  id text not null unique,
  workspace_id text not null,
  kind text not null,
  model text not null,
  params blob not null,
  mode text not null,
  metadata text not null,
  request_id text not null,
  public_url text not null,
  validation text not null,
  failure_tolerance real not null,
  priority integer not null,
  completion_window text,
  deadline real,
  limit_items integer,
  sample_n integer,
  sample_seed integer,
  parent_id text,
  root_id text not null,
  created_by text,
  state text not null,
  ending text,
  paused_reason text,
  total integer not null default 0,
  succeeded integer not null default 0,
  errored integer not null default 0,
  canceled integer not null default 0,
  expired integer not null default 0,
  held integer not null default 0,
  error text,
  created_at real not null,
  in_progress_at real,
  finalizing_at real,
  completed_at real,
  failed_at real,
  cancelling_at real,
  cancelled_at real,
  expired_at real,
  lines_deleted_at real,
  deleted integer not null default 0,
  check (succeeded + errored + canceled + expired <= total or state = 'receiving')
) strict;

create index run_by_workspace on run (workspace_id, id);
create index run_by_root on run (root_id);
create index run_unfinished on run (state) where state in ('receiving', 'validating', 'in_progress', 'finalizing', 'cancelling');

create table item (
  key integer primary key,
  custom_id text not null,
  payload blob not null,
  input_hash blob not null
) strict;

create table item_name (
  run_no integer not null,
  custom_id text not null,
  seq integer not null,
  primary key (run_no, custom_id)
) strict, without rowid;

-- Retries only: where an item stands in the root run.
create table item_origin (
  run_no integer not null,
  origin integer not null,
  seq integer not null,
  primary key (run_no, origin)
) strict, without rowid;

create table pending (
  run_no integer not null,
  lo integer not null,
  hi integer not null,
  lapses integer not null default 0,
  held integer not null default 0,
  primary key (run_no, lo)
) strict, without rowid;

-- The order in which spans are claimed. A sample leaves thousands of held ones between those that may be.
create index pending_open on pending (run_no, iif(lapses < 3, 0, lapses), lo) where held = 0;

-- A handful of rows at any time, so without further indexes: each would be one more page to write a commit.
-- lo and hi are null for a lease on deferred items, which name it themselves. remaining: items not yet reported.
create table lease (
  id text primary key,
  run_no integer not null,
  lo integer,
  hi integer,
  lapses integer not null default 0,
  owner text not null,
  remaining integer not null,
  expires_ms integer not null
) strict, without rowid;

-- due_ms is on the monotonic clock, 0 after another boot.
create table deferred (
  key integer primary key,
  run_no integer not null,
  due_ms integer not null,
  attempts integer not null,
  lease_id text
) strict;

create index deferred_due on deferred (run_no, due_ms) where lease_id is null;
create index deferred_by_lease on deferred (lease_id) where lease_id is not null;

create table outcome (
  key integer primary key,
  status text not null,
  problem text,
  attempts integer not null,
  elapsed_ms integer not null,
  line blob,
  cost integer not null,
  ended_at real not null
) strict;

create index outcome_failed on outcome (key) where status <> 'succeeded';

-- The order of completion: outcomes start, start + 1, … of the run are those of the items lo … hi.
create table completion (
  run_no integer not null,
  start integer not null,
  lo integer not null,
  hi integer not null,
  primary key (run_no, start)
) strict, without rowid;

create table attempt (
  key integer not null,
  number integer not null,
  at real not null,
  problem text not null,
  primary key (key, number)
) strict, without rowid;

create table suspect (
  key integer primary key,
  deaths integer not null
) strict;

create table manifest (
  run_no integer primary key,
  body text not null
) strict;

-- Blobs that payloads and lines point to: 'payload' or 'line'.
create table blob_reference (
  sha256 text not null,
  run_no integer not null,
  what text not null,
  primary key (sha256, run_no, what)
) strict, without rowid;

create index blob_reference_by_run on blob_reference (run_no, what);

-- What 'clean' has yet to delete: 'lines' of a run or the whole 'run'. next_key: where it goes on.
create table garbage (
  run_no integer primary key,
  what text not null,
  next_key integer not null
) strict;
