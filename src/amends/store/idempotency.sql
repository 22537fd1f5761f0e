-- name: get_claim
select scope, digest, holder, process, lease_until, status, headers, body, resource_id
from idempotency where scope = :scope and (expires_at is null or expires_at > :now);

-- name: find_resource
-- What was created under a key of the caller's, whatever path it went to; the newest if there are several.
select resource_id from idempotency
where workspace_id = :workspace_id and key_hash = :key_hash and status is not null and resource_id is not null
order by created_at desc limit 1;

-- name: take
-- Claim the key, also from a holder that died or whose row expired; no row changed means somebody else has it.
insert into idempotency (scope, workspace_id, key_hash, digest, holder, process, lease_until, created_at, expires_at)
values (:scope, :workspace_id, :key_hash, :digest, :holder, :process, :lease_until, :now, :expires_at)
on conflict (scope) do update set
  digest = excluded.digest, holder = excluded.holder, process = excluded.process, lease_until = excluded.lease_until,
  created_at = excluded.created_at, expires_at = excluded.expires_at,
  status = null, headers = null, body = null, resource_id = null
where idempotency.holder = excluded.holder
  or (idempotency.status is null and (idempotency.process <> excluded.process or idempotency.lease_until <= :now))
  or idempotency.expires_at <= :now;

-- name: answer
-- Store the response, if the claim still is the holder's.
update idempotency set digest = :digest, status = :status, headers = :headers, body = :body,
  resource_id = :resource_id, expires_at = :expires_at
where scope = :scope and holder = :holder;

-- name: release
delete from idempotency where scope = :scope and holder = :holder and status is null;

-- name: release_dead
-- Claims of other processes: the owner just started, so theirs are gone.
delete from idempotency where status is null and process <> :process;

-- name: forget_resource
-- What was created is gone; its key lives out the ordinary time.
update idempotency set expires_at = max(created_at + :keep_seconds, :now) where resource_id = :resource_id;

-- name: expire_orphans
-- Runs are deleted by the ledger, which knows nothing of keys: those of runs that are gone live out the ordinary time.
update idempotency set expires_at = max(created_at + :keep_seconds, :now)
where expires_at is null and resource_id glob 'bpred_*' and not exists (select 1 from run where run.id = idempotency.resource_id);

-- name: delete_expired
delete from idempotency where scope in (select scope from idempotency where expires_at <= :now limit :limit);
