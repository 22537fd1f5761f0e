-- What PostgreSQL takes in other words than SQLite, see ../idempotency.sql.

-- name: forget_resource
update idempotency set expires_at = greatest(created_at + :keep_seconds, :now) where resource_id = :resource_id;

-- name: expire_orphans
update idempotency set expires_at = greatest(created_at + :keep_seconds, :now)
where expires_at is null and resource_id like 'bpred\_%' and not exists (select 1 from run where run.id = idempotency.resource_id);
