-- The twin of SQLite's 0007.

create table openai_batch (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    endpoint text not null,
    input_file_id text not null,
    model text,
    metadata text not null,
    mode text not null,
    request_id text not null,
    created_by text,
    created_at double precision not null,
    deadline double precision not null,
    output_seconds bigint,
    state text not null,
    errors text,
    cancelling_at double precision,
    ended_at double precision,
    status text,
    counts text,
    times text,
    output_file_id text,
    error_file_id text
);

create index openai_batch_of_workspace on openai_batch (workspace_id, id);
create index openai_batch_unfinished on openai_batch (state) where state in ('reading', 'running');
create index openai_batch_ended on openai_batch (ended_at) where ended_at is not null;
