-- What PostgreSQL takes in other words than SQLite, see ../webhooks.sql.

-- name: lock_workspace
select 1 from workspace where id = ? for no key update;

-- name: lock_webhook
select 1 from webhook where id = ? for update;

-- name: lock_listeners
-- Whoever is being disabled or deleted is waited for: nothing is written for who is gone.
select 1 from webhook where workspace_id = ? order by id for share;

-- name: due_deliveries
select id, workspace_id, webhook_id, message_id, type, body, state, tries, attempts, next_at, created_at, ended_at
from webhook_delivery
where state = 'pending' and next_at <= :now and webhook_id not in (select jsonb_array_elements_text(:busy::jsonb))
order by next_at limit :limit;

-- name: delete_attempts
delete from webhook_attempt where delivery_id in (select jsonb_array_elements_text(:ids::jsonb));

-- name: delete_deliveries
delete from webhook_delivery where id in (select jsonb_array_elements_text(:ids::jsonb));
