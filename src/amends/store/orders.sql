-- name: insert_order
insert into labelling_order (id, workspace_id, definition_id, dataset_id, kind, status, settings, created_by, created_at)
values (:id, :workspace_id, :definition_id, :dataset_id, :kind, 'created', :settings, :created_by, :created_at);

-- name: get_order
select o.id, o.workspace_id, o.definition_id, o.dataset_id, o.kind, d.name, o.status, o.settings, o.tasks, o.tasks_done, o.gold_tasks,
  o.responses, o.until_seq, o.filled_seq, o.frees, o.invitation, o.error, o.created_by, o.created_at, o.running_at,
  o.paused_at, o.completed_at, o.failed_at, o.cancelled_at
from labelling_order o join job_definition d on d.id = o.definition_id
where o.id = :id;

-- name: get_order_by_invitation
select id from labelling_order where invitation = :invitation;

-- name: list_orders
-- Newest first, those older than the order :after; :name is what the name of their definition holds, in any case.
select o.id, o.workspace_id, o.definition_id, o.dataset_id, o.kind, d.name, o.status, o.settings, o.tasks, o.tasks_done, o.gold_tasks,
  o.responses, o.until_seq, o.filled_seq, o.frees, o.invitation, o.error, o.created_by, o.created_at, o.running_at,
  o.paused_at, o.completed_at, o.failed_at, o.cancelled_at
from labelling_order o join job_definition d on d.id = o.definition_id
where o.workspace_id = :workspace_id and (:after is null or o.id < :after)
  and (:status is null or o.status = :status)
  and (:definition_id is null or o.definition_id = :definition_id)
  and (:name is null or lower(d.name) like '%' || lower(:name) || '%' escape '\')
order by o.id desc limit :limit;

-- name: unfilled_orders
-- Running ones of which tasks are still to be made, of all workspaces, oldest first.
select id from labelling_order where status = 'running' and filled_seq < until_seq order by id;

-- name: orphaned_orders
-- Those under way, of all workspaces, whose dataset was deleted.
select id from labelling_order o where status in ('running', 'paused')
  and not exists (select 1 from dataset d where d.id = o.dataset_id and d.deleted_at is null);

-- name: set_status
-- :from is a JSON array of where it may stand now.
update labelling_order set status = :status, error = :error,
  running_at = case when :status = 'running' then coalesce(running_at, :now) else running_at end,
  paused_at = case when :status = 'paused' then :now else null end,
  completed_at = case when :status = 'completed' then :now else completed_at end,
  failed_at = case when :status = 'failed' then :now else failed_at end,
  cancelled_at = case when :status = 'cancelled' then :now else cancelled_at end
where id = :id and status in (select value from json_each(:from));

-- name: set_until
update labelling_order set until_seq = :until_seq where id = :id and until_seq is null;

-- name: set_filled
update labelling_order set filled_seq = :filled_seq, tasks = tasks + :tasks, gold_tasks = gold_tasks + :gold_tasks, frees = frees + 1
where id = :id;

-- name: complete_order
-- If every task is there and done.
update labelling_order set status = 'completed', completed_at = :now, paused_at = null
where id = :id and status in ('running', 'paused') and filled_seq >= until_seq and tasks_done = tasks;

-- name: count_responses
update labelling_order set responses = responses + :responses, tasks_done = tasks_done + :done, frees = frees + :frees where id = :id;

-- name: set_invitation
update labelling_order set invitation = :invitation where id = :id;

-- name: last_datapoint
select max(seq) from datapoint where dataset_id = :dataset_id;

-- name: unfit_datapoints
-- Of a kind that compares: those with fewer than two assets; of one that classifies: those without answers to choose among.
select count(*), min(id) from datapoint
where dataset_id = :dataset_id and seq > :after and (
  (:kind = 'compare' and json_array_length(assets) < 2)
  or (:kind = 'classification' and :options is null and answer_options is null));

-- name: known_datapoints
-- :ids is a JSON array; the answer is one JSON array of those that the dataset has.
select json_group_array(value) from json_each(:ids)
where exists (select 1 from datapoint where datapoint.id = value and datapoint.dataset_id = :dataset_id);

-- name: last_of_slice
-- The seq of the :limit-th datapoint after :after, or of the last one up to :until.
select max(seq) from (select seq from datapoint
  where dataset_id = :dataset_id and seq > :after and seq <= :until order by seq limit :limit) as slice;

-- name: fill_tasks
-- :gold is a JSON object, datapoint → what is right, as JSON in a string.
insert into task (order_id, seq, datapoint_id, needed, choices, truth)
select :order_id, d.seq, d.id, case when g.value is null then :needed else 0 end,
  case when :kind = 'compare' then json_array_length(d.assets)
       when :kind = 'classification' then json_array_length(coalesce(d.answer_options, :options)) end,
  g.value
from datapoint d left join json_each(:gold) g on g.key = d.id
where d.dataset_id = :dataset_id and d.seq > :after and d.seq <= :until;

-- name: filled_gold
select count(*) from task where order_id = :order_id and seq > :after and seq <= :until and truth is not null;
