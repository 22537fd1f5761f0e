-- name: insert_invitation
insert into invitation (id, workspace_id, role, email, digest, created_by, created_at, expires_at)
values (:id, :workspace_id, :role, :email, :digest, :created_by, :created_at, :expires_at);

-- name: find_invitation
select id, workspace_id, role, email, digest, created_by, created_at, expires_at, used_at, used_by
from invitation where digest = :digest and used_at is null and expires_at > :now;

-- name: use_invitation
-- Of two who bring it at once one is too late.
update invitation set used_at = :now, used_by = :used_by where id = :id and used_at is null and expires_at > :now;

-- name: get_invitation
select id, workspace_id, role, email, digest, created_by, created_at, expires_at, used_at, used_by
from invitation where id = :id and workspace_id = :workspace_id;

-- name: list_invitations
-- Newest first, those older than the invitation :after.
select id, workspace_id, role, email, digest, created_by, created_at, expires_at, used_at, used_by
from invitation where workspace_id = :workspace_id and (:after is null or id < :after)
order by id desc limit :limit;

-- name: delete_invitation
delete from invitation where id = :id and workspace_id = :workspace_id;

-- name: delete_outdated
delete from invitation where id in (select id from invitation where expires_at <= :before limit :limit);
