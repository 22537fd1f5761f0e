-- name: insert_run
insert into run (id, workspace_id, kind, model, params, mode, metadata, request_id, public_url, validation,
  failure_tolerance, priority, completion_window, deadline, limit_items, sample_n, sample_seed, parent_id, root_id,
  created_by, state, created_at, price, max_cost, on_credit_exhausted)
values (:id, :workspace_id, :kind, :model, :params, :mode, :metadata, :request_id, :public_url, :validation,
  :failure_tolerance, :priority, :completion_window, :deadline, :limit_items, :sample_n, :sample_seed, :parent_id,
  coalesce((select root_id from run where id = :parent_id), :id), :created_by, 'receiving', :created_at, :price,
  :max_cost, :on_credit_exhausted);

-- name: unfinished_runs
-- Runs of a workspace that have not ended, receiving ones too.
select count(*) from run indexed by run_unfinished
where state in ('receiving', 'validating', 'in_progress', 'finalizing', 'cancelling')
  and workspace_id = :workspace_id and deleted = 0;

-- name: insert_items
-- Rows of (offset from the first key, custom_id, payload, input hash).
insert into item (key, custom_id, payload, input_hash) select ?1 + column1, column2, column3, column4 from

-- name: insert_origins
insert into item_origin (run_no, origin, seq) select ?1, column1, column2 from

-- name: add_to_total
update run set total = total + :items where no = :run_no;

-- name: index_all_names
-- A small run's custom_ids in one step.
insert into item_name (run_no, custom_id, seq)
select :run_no, custom_id, key & 4294967295 from item
where key between :run_no << 32 and (:run_no << 32) | 4294967295 order by custom_id;

-- name: sorted_names
-- A large run's custom_ids in sorted order, in slices: sorted by SQLite's external sorter, in bounded memory.
select json_group_array(json_array(custom_id, seq))
from (select custom_id, key & 4294967295 as seq, (row_number() over (order by custom_id) - 1) / :slice as slice
      from item where key between :run_no << 32 and (:run_no << 32) | 4294967295)
group by slice;

-- name: insert_names
-- One slice of sorted custom_ids.
insert into item_name (run_no, custom_id, seq)
select :run_no, value ->> 0, value ->> 1 from json_each(:names);

-- name: drop_names
delete from item_name where run_no = ?;

-- name: duplicates
-- The second and later occurrences of a custom_id, in submission order.
select seq, custom_id, count(*) over () from (
  select custom_id, key & 4294967295 as seq,
    lag(custom_id) over (order by custom_id, key) as previous
  from item where key between :run_no << 32 and (:run_no << 32) | 4294967295)
where custom_id = previous order by seq limit 1000;

-- name: part
-- Which part of the run to run first.
select limit_items, sample_n, sample_seed from run where no = ?;

-- name: insert_pending
-- Rows of (lo, hi, held).
insert into pending (run_no, lo, hi, held) select ?1, column1, column2, column3 from

-- name: seal
update run set state = :state, held = :held, in_progress_at = iif(:state = 'in_progress', :now, null)
where no = :run_no and state = 'receiving';
