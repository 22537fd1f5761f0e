-- name: balance
select balance from credit where workspace_id = ?;

-- name: add_to_balance
insert into credit (workspace_id, balance) values (:workspace_id, :amount)
on conflict (workspace_id) do update set balance = balance + excluded.balance;

-- name: open_hold
insert into credit_hold (run_no, workspace_id) select no, workspace_id from run where no = ?;

-- name: funds
-- What decides about a run's next lease: what it holds, what its leases hold, what it was charged, items that nobody
-- claimed yet, and its workspace's balance.
select h.held, l.items * r.price, h.charged,
  r.total - r.succeeded - r.errored - r.canceled - r.expired - r.held - l.items,
  coalesce((select balance from credit where workspace_id = r.workspace_id), 0),
  r.price, r.max_cost, r.workspace_id
from run r join credit_hold h on h.run_no = r.no,
  (select coalesce(sum(remaining), 0) as items from lease where run_no = :run_no) l
where r.no = :run_no;

-- name: add_to_hold
update credit_hold set held = held + :held, charged = charged + :charged where run_no = :run_no;

-- name: hold
select held, charged, workspace_id from credit_hold where run_no = ?;

-- name: close_hold
delete from credit_hold where run_no = ?;

-- name: insert_entry
insert into credit_entry (id, workspace_id, kind, amount, run_id, note, created_by, created_at)
values (:id, :workspace_id, :kind, :amount, :run_id, :note, :created_by, :created_at);

-- name: entries
-- Newest first.
select id, workspace_id, kind, amount, run_id, note, created_by, created_at from credit_entry
where workspace_id = :workspace_id
  and (:after is null or no < (select no from credit_entry where id = :after and workspace_id = :workspace_id))
order by no desc limit :limit;

-- name: standing
-- A workspace's credit: what is free, what is held for running work, what that was charged, and the sum of the entries.
select
  coalesce((select balance from credit where workspace_id = :workspace_id), 0),
  (select coalesce(sum(held), 0) from credit_hold where workspace_id = :workspace_id)
    + (select coalesce(sum(l.remaining * r.price), 0) from credit_hold h join run r on r.no = h.run_no
       join lease l on l.run_no = h.run_no where h.workspace_id = :workspace_id),
  (select coalesce(sum(charged), 0) from credit_hold where workspace_id = :workspace_id),
  (select coalesce(sum(amount), 0) from credit_entry where workspace_id = :workspace_id);

-- name: pause
-- By a claim, which could not pay.
update run set paused_reason = :reason where no = :run_no and paused_reason is distinct from :reason;

-- name: set_reason
update run set paused_reason = :reason where no = :run_no;
