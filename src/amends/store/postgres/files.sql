-- What PostgreSQL takes in other words than SQLite, see ../files.sql.

-- name: resolve_files
select coalesce(json_agg(json_build_array(id, sha256, media_type, pages, filename, bytes)), '[]')::text
from file where workspace_id = :workspace_id and (expires_at is null or expires_at > :now)
  and id in (select jsonb_array_elements_text(:ids::jsonb));

-- name: files_with_contents
select coalesce(json_agg(json_build_array(id, sha256, media_type, pages, filename, bytes)), '[]')::text
from file where workspace_id = :workspace_id and (expires_at is null or expires_at > :now)
  and sha256 in (select jsonb_array_elements_text(:digests::jsonb));

-- name: expired_files
select id, workspace_id, sha256 from file where expires_at <= :now order by expires_at limit :limit for update skip locked;

-- name: used_blobs
select coalesce(json_agg(value), '[]')::text from jsonb_array_elements_text(:digests::jsonb) as digests (value)
where exists (select 1 from file where sha256 = value);
