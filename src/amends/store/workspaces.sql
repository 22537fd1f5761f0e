-- name: get_workspace_by_name
select id, name, created_at from workspace where name = :name;

-- name: insert_workspace
insert into workspace (id, name, created_at) values (:id, :name, :created_at);
