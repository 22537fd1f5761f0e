-- name: insert_batch
insert into openai_batch (id, workspace_id, endpoint, input_file_id, metadata, mode, request_id, created_by, created_at,
  deadline, output_seconds, state)
values (:id, :workspace_id, :endpoint, :input_file_id, :metadata, :mode, :request_id, :created_by, :created_at,
  :deadline, :output_seconds, 'reading');

-- name: get_batch
select id, workspace_id, endpoint, input_file_id, model, metadata, mode, request_id, created_by, created_at, deadline,
  output_seconds, state, errors, cancelling_at, ended_at, status, counts, times, output_file_id, error_file_id
from openai_batch where id = :id;

-- name: list_batches
-- Newest first, those older than the batch :after.
select id, workspace_id, endpoint, input_file_id, model, metadata, mode, request_id, created_by, created_at, deadline,
  output_seconds, state, errors, cancelling_at, ended_at, status, counts, times, output_file_id, error_file_id
from openai_batch
where workspace_id = :workspace_id and (:after is null or id < :after)
order by id desc limit :limit;

-- name: unfinished_batches
-- What is still to be read or written, oldest first.
select id, workspace_id, endpoint, input_file_id, model, metadata, mode, request_id, created_by, created_at, deadline,
  output_seconds, state, errors, cancelling_at, ended_at, status, counts, times, output_file_id, error_file_id
from openai_batch where state in ('reading', 'running') order by id;

-- name: ask_to_cancel
update openai_batch set cancelling_at = coalesce(cancelling_at, :now) where id = :id and state = 'reading';

-- name: set_running
-- Only if nobody has asked to cancel meanwhile.
update openai_batch set state = 'running', model = :model where id = :id and state = 'reading' and cancelling_at is null;

-- name: set_refused
update openai_batch set state = :state, errors = :errors, ended_at = :now where id = :id and state = 'reading';

-- name: set_written
update openai_batch set state = 'written', status = :status, counts = :counts, times = :times, ended_at = :now,
  output_file_id = :output_file_id, error_file_id = :error_file_id
where id = :id and state = 'running';

-- name: delete_outdated
delete from openai_batch where id in (
  select id from openai_batch where ended_at is not null and ended_at < :before order by ended_at limit :limit);
