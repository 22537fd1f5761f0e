-- What PostgreSQL takes in other words than SQLite, see ../uploads.sql.

-- name: expired_uploads
select id, workspace_id from upload where expires_at <= :now order by expires_at limit :limit for update skip locked;

-- name: known_uploads
select coalesce(json_agg(value), '[]')::text from jsonb_array_elements_text(:ids::jsonb) as ids (value)
where exists (select 1 from upload where upload.id = value and file_id is null);
