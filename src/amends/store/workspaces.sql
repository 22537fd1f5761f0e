-- name: get_workspace_by_name
select id, name, created_at from workspace where name = :name;

-- name: insert_workspace
insert into workspace (id, name, created_at) values (:id, :name, :created_at);

-- name: get_user_by_name
select id, workspace_id, name, created_at from user_account where workspace_id = :workspace_id and name = :name;

-- name: insert_user
insert into user_account (id, workspace_id, name, created_at) values (:id, :workspace_id, :name, :created_at);
