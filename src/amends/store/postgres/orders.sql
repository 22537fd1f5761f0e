-- What PostgreSQL takes in other words than SQLite, see ../orders.sql.

-- name: lock_order
-- Whoever hands out, answers or moves of an order does so alone: what follows from its counts is written with them.
select 1 from labelling_order where id = ? for update;

-- name: set_status
update labelling_order set status = :status, error = :error,
  running_at = case when :status = 'running' then coalesce(running_at, :now) else running_at end,
  paused_at = case when :status = 'paused' then :now else null end,
  completed_at = case when :status = 'completed' then :now else completed_at end,
  failed_at = case when :status = 'failed' then :now else failed_at end,
  cancelled_at = case when :status = 'cancelled' then :now else cancelled_at end
where id = :id and status in (select jsonb_array_elements_text(:from::jsonb));

-- name: unfit_datapoints
select count(*), min(id) from datapoint
where dataset_id = :dataset_id and (
  (:kind = 'compare' and jsonb_array_length(assets::jsonb) < 2)
  or (:kind = 'classification' and :options is null and answer_options is null));

-- name: known_datapoints
select coalesce(json_agg(value), '[]')::text from jsonb_array_elements_text(:ids::jsonb) as ids (value)
where exists (select 1 from datapoint where datapoint.id = value and datapoint.dataset_id = :dataset_id);

-- name: fill_tasks
insert into task (order_id, seq, datapoint_id, needed, choices, truth)
select :order_id, d.seq, d.id, case when g.value is null then :needed else 0 end,
  case when :kind = 'compare' then jsonb_array_length(d.assets::jsonb)
       when :kind = 'classification' then jsonb_array_length(coalesce(d.answer_options, :options)::jsonb) end,
  g.value
from datapoint d left join jsonb_each_text(:gold::jsonb) g on g.key = d.id
where d.dataset_id = :dataset_id and d.seq > :after and d.seq <= :until;
