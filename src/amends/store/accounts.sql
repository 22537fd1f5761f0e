-- name: get_by_name
select id, workspace_id, name, email, role, created_at from user_account
where workspace_id = :workspace_id and name = :name;

-- name: get_user
-- Somebody who is gone is as unknown as who never was.
select id, workspace_id, name, email, role, created_at from user_account
where id = :id and workspace_id = :workspace_id and deleted_at is null;

-- name: list_users
-- Newest first, those made before the user :after.
select id, workspace_id, name, email, role, created_at from user_account
where workspace_id = :workspace_id and deleted_at is null and (:after is null or
  (created_at, id) < (select created_at, id from user_account where id = :after and workspace_id = :workspace_id))
order by created_at desc, id desc limit :limit;

-- name: insert_user
insert into user_account (id, workspace_id, name, email, password, role, created_at)
values (:id, :workspace_id, :name, :email, :password, :role, :created_at);

-- name: get_account
select id, workspace_id, name, email, role, created_at, password from user_account where email = :email;

-- name: get_account_of
select id, workspace_id, name, email, role, created_at, password from user_account
where id = :id and password is not null;

-- name: set_password
-- Only over the one that was looked at: of two who change it at once, one is told that it has changed.
update user_account set password = :password where id = :id and password = :was;

-- name: get_current
select id, workspace_id, name, email, role, created_at from user_account where id = :id and password = :password;

-- name: set_role
update user_account set role = :role where id = :id;

-- name: set_name
update user_account set name = :name where id = :id;

-- name: owners
select count(*) from user_account where workspace_id = :workspace_id and role = 'owner' and deleted_at is null;

-- name: delete_user
-- The id stays, since what its bearer made is marked with it; nothing else does.
update user_account set name = id, email = null, password = null, deleted_at = :now where id = :id;
