-- name: insert_file
insert into file (id, workspace_id, filename, media_type, bytes, sha256, pages, purpose, created_by, created_at, expires_at)
values (:id, :workspace_id, :filename, :media_type, :bytes, :sha256, :pages, :purpose, :created_by, :created_at, :expires_at);

-- name: get_file
-- An expired file is gone at once, whether or not the sweep has come by.
select id, workspace_id, filename, media_type, bytes, sha256, pages, purpose, created_by, created_at, expires_at
from file where id = :id and workspace_id = :workspace_id and (expires_at is null or expires_at > :now);

-- name: list_files
-- Newest first, those older than the file :after.
select id, workspace_id, filename, media_type, bytes, sha256, pages, purpose, created_by, created_at, expires_at
from file
where workspace_id = :workspace_id and (expires_at is null or expires_at > :now)
  and (:after is null or id < :after) and (:purpose is null or purpose = :purpose)
order by id desc limit :limit;

-- name: resolve_files
-- Many at once: :ids is a JSON array; the answer is one JSON array, so that thousands cost few steps.
select json_group_array(json_array(id, sha256, media_type, pages, filename, bytes))
from file where workspace_id = :workspace_id and (expires_at is null or expires_at > :now)
  and id in (select value from json_each(:ids));

-- name: files_with_contents
-- :digests is a JSON array; the answer is one JSON array of files as above.
select json_group_array(json_array(id, sha256, media_type, pages, filename, bytes))
from file where workspace_id = :workspace_id and (expires_at is null or expires_at > :now)
  and sha256 in (select value from json_each(:digests));

-- name: update_file
update file set filename = :filename, media_type = :media_type, purpose = :purpose, expires_at = :expires_at
where id = :id and workspace_id = :workspace_id;

-- name: delete_file
delete from file where id = :id and workspace_id = :workspace_id;

-- name: expired_files
select id, workspace_id, sha256 from file where expires_at <= :now order by expires_at limit :limit;

-- name: is_used
select exists (select 1 from file where sha256 = :sha256);

-- name: used_blobs
-- :digests is a JSON array; the answer is one JSON array of those that a file has.
select json_group_array(value) from json_each(:digests) where exists (select 1 from file where sha256 = value);
