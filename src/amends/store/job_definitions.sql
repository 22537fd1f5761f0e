-- name: insert_definition
insert into job_definition (id, workspace_id, dataset_id, kind, name, instruction, answer_options, settings, created_by, created_at)
values (:id, :workspace_id, :dataset_id, :kind, :name, :instruction, :answer_options, :settings, :created_by, :created_at);

-- name: get_definition
select id, workspace_id, dataset_id, kind, name, instruction, answer_options, settings, created_by, created_at
from job_definition where id = :id and workspace_id = :workspace_id;

-- name: list_definitions
-- Newest first, those older than the definition :after; :name is what their name holds, in any case.
select id, workspace_id, dataset_id, kind, name, instruction, answer_options, settings, created_by, created_at
from job_definition
where workspace_id = :workspace_id and (:after is null or id < :after)
  and (:name is null or lower(name) like '%' || lower(:name) || '%' escape '\')
order by id desc limit :limit;
