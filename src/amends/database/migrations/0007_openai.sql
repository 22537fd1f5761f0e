-- Batches of the OpenAI-compatible surface. A row has its batch's id, which is its run's too, once there is one.
-- state: reading (the input file is being read), running (the run says where it stands), failed (the input is bad), cancelled (while
-- it was read), written (the run has ended, and its files are made). cancelling_at: somebody asked to cancel while it was read.
-- errors: JSON list of the input's faults. counts, times: JSON, of the run when its files were made; it may be gone since.

create table openai_batch (
    id text primary key,
    workspace_id text not null,
    endpoint text not null,
    input_file_id text not null,
    model text,
    metadata text not null,
    mode text not null,
    request_id text not null,
    created_by text,
    created_at real not null,
    deadline real not null,
    output_seconds integer,
    state text not null,
    errors text,
    cancelling_at real,
    ended_at real,
    status text,
    counts text,
    times text,
    output_file_id text,
    error_file_id text
) strict, without rowid;

create index openai_batch_of_workspace on openai_batch (workspace_id, id);
create index openai_batch_unfinished on openai_batch (state) where state in ('reading', 'running');
create index openai_batch_ended on openai_batch (ended_at) where ended_at is not null;
