-- What PostgreSQL takes in other words than SQLite, see ../sqlite/credits.sql, and what it has to lock: always what the run holds
-- before the workspace's balance, so that nobody waits in a circle.

-- name: lock_hold
select 1 from credit_hold where run_no = ? for update;

-- name: lock_balance
select 1 from credit where workspace_id = ? for update;

-- name: add_to_balance
insert into credit as c (workspace_id, balance) values (:workspace_id, :amount)
on conflict (workspace_id) do update set balance = c.balance + excluded.balance;

-- name: funds
select h.held, l.items * r.price, h.charged,
  r.total - r.succeeded - r.errored - r.canceled - r.expired - r.held - l.items,
  coalesce((select balance from credit where workspace_id = r.workspace_id), 0),
  r.price, r.max_cost, r.workspace_id
from run_counted r join credit_hold h on h.run_no = r.no,
  (select coalesce(sum(remaining), 0)::bigint as items from lease where run_no = :run_no) l
where r.no = :run_no;

-- name: standing
select
  coalesce((select balance from credit where workspace_id = :workspace_id), 0),
  (select coalesce(sum(held), 0)::bigint from credit_hold where workspace_id = :workspace_id)
    + (select coalesce(sum(l.remaining * r.price), 0)::bigint from credit_hold h join run r on r.no = h.run_no
       join lease l on l.run_no = h.run_no where h.workspace_id = :workspace_id),
  (select coalesce(sum(charged), 0)::bigint from credit_hold where workspace_id = :workspace_id),
  (select coalesce(sum(amount), 0)::bigint from credit_entry where workspace_id = :workspace_id);

-- name: pause
-- Who moves the run locks it before what it holds. A claim has that already, so it leaves the run to whoever is moving it; the next
-- claim comes by here again.
update run set paused_reason = :reason where no in (
  select no from run where no = :run_no and paused_reason is distinct from :reason for update skip locked);
