-- name: annotator_of_user
select id, order_id, name, kind, user_id, handed, gold_asked, gold_right, marks, exhausted_at, model, prompt, mode, request_id, run_id,
  run_state, run_cursor, created_by, created_at
from annotator where order_id = :order_id and user_id = :user_id;

-- name: annotator_of_name
select id, order_id, name, kind, user_id, handed, gold_asked, gold_right, marks, exhausted_at, model, prompt, mode, request_id, run_id,
  run_state, run_cursor, created_by, created_at
from annotator where order_id = :order_id and kind = :kind and name = :name and user_id is null;

-- name: get_annotator
select id, order_id, name, kind, user_id, handed, gold_asked, gold_right, marks, exhausted_at, model, prompt, mode, request_id, run_id,
  run_state, run_cursor, created_by, created_at
from annotator where id = :id;

-- name: annotators_of_order
select id, order_id, name, kind, user_id, handed, gold_asked, gold_right, marks, exhausted_at, model, prompt, mode, request_id, run_id,
  run_state, run_cursor, created_by, created_at
from annotator where order_id = :order_id order by id;

-- name: annotators_with_run
-- Models whose run is to be made or read, of all workspaces, oldest first.
select id, order_id, name, kind, user_id, handed, gold_asked, gold_right, marks, exhausted_at, model, prompt, mode, request_id, run_id,
  run_state, run_cursor, created_by, created_at
from annotator where run_state in ('waiting', 'running') order by id;

-- name: insert_annotator
insert into annotator (id, order_id, name, kind, user_id, model, prompt, mode, request_id, run_id, run_state, created_by, created_at)
values (:id, :order_id, :name, :kind, :user_id, :model, :prompt, :mode, :request_id, :run_id, :run_state, :created_by, :created_at);

-- name: note_handed
update annotator set handed = handed + 1, marks = :marks, exhausted_at = null where id = :id;

-- name: note_exhausted
update annotator set marks = '{}', exhausted_at = :frees where id = :id;

-- name: note_gold
update annotator set gold_asked = gold_asked + :asked, gold_right = gold_right + :right where id = :id;

-- name: set_run_state
update annotator set run_state = :run_state where id = :id;

-- name: move_cursor
update annotator set run_cursor = :run_cursor where id = :id;

-- name: count_responses_of
select count(*) from response where annotator_id = :annotator_id;

-- name: responses_by_annotator
select annotator_id, count(*) from response where order_id = :order_id group by annotator_id;
