-- Credits. Amounts are whole numbers of millionths of a credit.
--
--   credit.balance ──block──► credit_hold.held ──claim──► (lease.remaining * run.price) ──commit──► credit_hold.charged ──end──► credit_entry
--
-- The sum of the four always is the sum of the entries, of which top-ups are positive and charges negative.

-- price: what an item is held for before it runs, 0 for what costs nothing; such a run has no row of credit_hold.
-- max_cost: what the run may cost at most.
alter table run add column price integer not null default 0;
alter table run add column max_cost integer;
alter table run add column on_credit_exhausted text not null default 'pause';

create table credit (
  workspace_id text primary key,
  balance integer not null
) strict, without rowid;

-- Runs that have a price and have not ended. held: beside what its leases hold.
create table credit_hold (
  run_no integer primary key,
  workspace_id text not null,
  held integer not null default 0,
  charged integer not null default 0
) strict;

create index credit_hold_of_workspace on credit_hold (workspace_id);

create table credit_entry (
  no integer primary key,
  id text not null unique,
  workspace_id text not null,
  kind text not null check (kind in ('top_up', 'charge')),
  amount integer not null,
  run_id text,
  note text,
  created_by text,
  created_at real not null
) strict;

create index credit_entry_of_workspace on credit_entry (workspace_id, no, amount);
