-- name: insert_upload
insert into upload (id, workspace_id, filename, media_type, purpose, expires_after, metadata, length, received, file_id, created_by, created_at, expires_at)
values (:id, :workspace_id, :filename, :media_type, :purpose, :expires_after, :metadata, :length, :received, :file_id, :created_by, :created_at, :expires_at);

-- name: get_upload
-- One that has expired is gone at once, whether or not the sweep has come by.
select id, workspace_id, filename, media_type, purpose, expires_after, metadata, length, received, file_id, created_by, created_at, expires_at
from upload where id = :id and workspace_id = :workspace_id and (expires_at is null or expires_at > :now);

-- name: advance_upload
update upload set received = :received, expires_at = :expires_at
where id = :id and file_id is null and received <= :received;

-- name: finish_upload
update upload set received = length, file_id = :file_id, expires_at = null where id = :id and file_id is null;

-- name: delete_upload
delete from upload where id = :id and workspace_id = :workspace_id;

-- name: uploads_of_file
select id from upload where file_id = :file_id;

-- name: expired_uploads
select id, workspace_id from upload where expires_at <= :now order by expires_at limit :limit;

-- name: known_uploads
-- :ids is a JSON array; the answer is one JSON array of those that are there and unfinished.
select json_group_array(value) from json_each(:ids)
where exists (select 1 from upload where upload.id = value and file_id is null);
