-- name: all_open
-- Everybody who is signed in, to be looked up in memory.
select id, workspace_id, user_id, key_id, role, mode, digest, generation, created_at, expires_at
from login_session where expires_at > :now;

-- name: insert_session
insert into login_session (id, workspace_id, user_id, key_id, role, mode, digest, generation, created_at, expires_at)
values (:id, :workspace_id, :user_id, :key_id, :role, :mode, :digest, :generation, :created_at, :expires_at);

-- name: renew_session
-- Of two who bring the same refresh token one is too late.
update login_session set generation = generation + 1, expires_at = :expires_at
where id = :id and generation = :generation and expires_at > :now;

-- name: delete_session
delete from login_session where id = :id;

-- name: delete_of_user
delete from login_session where user_id = :user_id and id <> :but returning id;

-- name: delete_of_key
delete from login_session where key_id = :key_id returning id;

-- name: delete_oldest
-- All but the newest :most of whoever it is.
delete from login_session where coalesce(user_id, key_id) = :principal and id <= (
  select id from login_session where coalesce(user_id, key_id) = :principal order by id desc limit 1 offset :most)
returning id;

-- name: delete_expired
delete from login_session where id in (select id from login_session where expires_at <= :now limit :limit) returning id;
