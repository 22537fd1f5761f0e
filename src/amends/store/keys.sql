-- name: all_usable
-- Every key that is not revoked, to be looked up in memory.
select id, workspace_id, user_id, name, role, mode, digest, hint, created_at, created_by, revoked_at
from api_key where revoked_at is null;

-- name: has_any
select exists (select 1 from api_key);

-- name: insert_key
insert into api_key (id, workspace_id, user_id, name, role, mode, digest, hint, created_at, created_by)
values (:id, :workspace_id, :user_id, :name, :role, :mode, :digest, :hint, :created_at, :created_by);

-- name: get_key
select id, workspace_id, user_id, name, role, mode, digest, hint, created_at, created_by, revoked_at
from api_key where id = :id and workspace_id = :workspace_id;

-- name: list_keys
-- Newest first, those older than the key :after.
select id, workspace_id, user_id, name, role, mode, digest, hint, created_at, created_by, revoked_at
from api_key where workspace_id = :workspace_id and (:after is null or id < :after)
order by id desc limit :limit;

-- name: revoke_key
update api_key set revoked_at = :now where id = :id and workspace_id = :workspace_id and revoked_at is null;
