-- The twin of SQLite's 0011.

create table job_definition (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    dataset_id text collate "C" not null,
    kind text not null check (kind in ('classification', 'compare', 'free_text', 'locate')),
    name text not null,
    instruction text not null,
    answer_options text,
    settings text not null,
    created_by text,
    created_at double precision not null
);

create index job_definition_of_workspace on job_definition (workspace_id, id);

create table labelling_order (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    definition_id text collate "C" not null references job_definition (id),
    dataset_id text collate "C" not null,
    kind text not null,
    status text not null check (status in ('created', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    settings text not null,
    tasks bigint not null default 0,
    tasks_done bigint not null default 0,
    gold_tasks bigint not null default 0,
    responses bigint not null default 0,
    until_seq bigint,
    filled_seq bigint not null default -1,
    frees bigint not null default 0,
    invitation bytea unique,
    error text,
    created_by text,
    created_at double precision not null,
    running_at double precision,
    paused_at double precision,
    completed_at double precision,
    failed_at double precision,
    cancelled_at double precision,
    check (tasks_done between 0 and tasks)
);

create index labelling_order_of_workspace on labelling_order (workspace_id, id);
create index labelling_order_of_definition on labelling_order (definition_id, id);
create index labelling_order_unfilled on labelling_order (status) where status = 'running' and filled_seq < until_seq;
create index labelling_order_active on labelling_order (dataset_id) where status in ('running', 'paused');

create table task (
    order_id text collate "C" not null,
    seq bigint not null,
    datapoint_id text collate "C" not null,
    needed bigint not null,
    received bigint not null default 0,
    leased bigint not null default 0,
    state text not null default 'open' check (state in ('open', 'done')),
    choices bigint,
    truth text,
    level bigint generated always as (
        case when state = 'open' and truth is null and received + leased < needed then needed - received end) stored,
    primary key (order_id, seq),
    check (received >= 0 and leased >= 0)
);

create index task_free on task (order_id, level, seq) where level is not null;
create index task_gold on task (order_id, seq) where truth is not null;

create table annotator (
    id text collate "C" primary key,
    order_id text collate "C" not null,
    name text not null,
    kind text not null check (kind in ('person', 'model')),
    user_id text collate "C",
    handed bigint not null default 0,
    gold_asked bigint not null default 0,
    gold_right bigint not null default 0,
    marks text not null default '{}',
    exhausted_at bigint,
    model text,
    prompt text,
    mode text,
    request_id text,
    run_id text collate "C",
    run_state text,
    run_cursor bigint not null default -1,
    created_by text,
    created_at double precision not null
);

create unique index annotator_by_name on annotator (order_id, kind, name) where user_id is null;
create unique index annotator_by_user on annotator (order_id, user_id) where user_id is not null;
create index annotator_with_run on annotator (run_state) where run_state in ('waiting', 'running');

create table task_lease (
    id text collate "C" primary key,
    order_id text collate "C" not null,
    seq bigint not null,
    annotator_id text collate "C" not null,
    expires_ms bigint not null,
    boot text not null,
    lapsed bigint not null default 0,
    created_at double precision not null,
    unique (order_id, seq, annotator_id)
);

create index task_lease_held on task_lease (order_id, expires_ms) where lapsed = 0;
create index task_lease_of_annotator on task_lease (annotator_id, created_at);

create table response (
    order_id text collate "C" not null,
    seq bigint not null,
    annotator_id text collate "C" not null,
    answer text not null,
    elapsed_ms bigint,
    number bigint not null,
    created_at double precision not null,
    primary key (order_id, seq, annotator_id)
);

create index response_of_annotator on response (annotator_id, number);

create table skip (
    order_id text collate "C" not null,
    seq bigint not null,
    annotator_id text collate "C" not null,
    reason text,
    created_at double precision not null,
    primary key (order_id, seq, annotator_id)
);
