-- Labelling: job definitions, orders, their tasks, and what annotators answered.
--
--   created ──run──► running ──every task is done──► completed
--                    │    ▲
--                  pause  run           created, running, paused ──cancel──► cancelled
--                    ▼    │             running, paused ──its datapoints are gone──► failed
--                    paused
--
-- What is true at any time of every order: responses = the rows of response whose task has no truth; tasks_done = its tasks that are
-- done; a task's received = its responses; its leased = its rows of task_lease that have not lapsed.

-- answer_options: JSON list, null where the kind has none. settings: JSON object.
create table job_definition (
    id text primary key,
    workspace_id text not null,
    dataset_id text not null,
    kind text not null check (kind in ('classification', 'compare', 'free_text', 'locate')),
    name text not null,
    instruction text not null,
    answer_options text,
    settings text not null,
    created_by text,
    created_at real not null
) strict, without rowid;

create index job_definition_of_workspace on job_definition (workspace_id, id);

-- until_seq: the last datapoint that belongs to it, null before it first ran; filled_seq: the last one that a task was made of.
-- frees: counts whatever may have freed a place of a task, see annotator.exhausted_at. invitation: SHA-256 of the token of its link.
create table labelling_order (
    id text primary key,
    workspace_id text not null,
    definition_id text not null references job_definition (id),
    dataset_id text not null,
    kind text not null,
    status text not null check (status in ('created', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    settings text not null,
    tasks integer not null default 0,
    tasks_done integer not null default 0,
    gold_tasks integer not null default 0,
    responses integer not null default 0,
    until_seq integer,
    filled_seq integer not null default -1,
    frees integer not null default 0,
    invitation blob unique,
    error text,
    created_by text,
    created_at real not null,
    running_at real,
    paused_at real,
    completed_at real,
    failed_at real,
    cancelled_at real,
    check (tasks_done between 0 and tasks)
) strict, without rowid;

create index labelling_order_of_workspace on labelling_order (workspace_id, id);
create index labelling_order_of_definition on labelling_order (definition_id, id);
create index labelling_order_unfilled on labelling_order (status) where status = 'running' and filled_seq < until_seq;
create index labelling_order_active on labelling_order (dataset_id) where status in ('running', 'paused');

-- A task is a datapoint that an order asks about. seq: the datapoint's. choices: answers to choose among, null where anything may be
-- said. truth: JSON, what is right, of a gold task, which everybody may answer and nobody has to. level: how many answers it lacks, where
-- somebody may be handed it, else null.
create table task (
    order_id text not null,
    seq integer not null,
    datapoint_id text not null,
    needed integer not null,
    received integer not null default 0,
    leased integer not null default 0,
    state text not null default 'open' check (state in ('open', 'done')),
    choices integer,
    truth text,
    level integer generated always as (
        case when state = 'open' and truth is null and received + leased < needed then needed - received end) virtual,
    primary key (order_id, seq),
    check (received >= 0 and leased >= 0)
) strict, without rowid;

-- What may be handed out, the nearest to its end first.
create index task_free on task (order_id, level, seq) where level is not null;
create index task_gold on task (order_id, seq) where truth is not null;

-- user_id: null for who came by an invitation, and for models. handed: tasks that it was handed; gold_asked, gold_right: gold tasks it
-- answered, and those rightly. marks: JSON object, number of missing answers → the seq up to which no such task is for it;
-- exhausted_at: the order's frees when nothing was left for it. model, prompt, run_id: of a model. run_state: waiting (the run is to be
-- made), running (its outcomes become responses), taken (all have). run_cursor: the last outcome that has.
create table annotator (
    id text primary key,
    order_id text not null,
    name text not null,
    kind text not null check (kind in ('person', 'model')),
    user_id text,
    handed integer not null default 0,
    gold_asked integer not null default 0,
    gold_right integer not null default 0,
    marks text not null default '{}',
    exhausted_at integer,
    model text,
    prompt text,
    mode text,
    request_id text,
    run_id text,
    run_state text,
    run_cursor integer not null default -1,
    created_by text,
    created_at real not null
) strict, without rowid;

create unique index annotator_by_name on annotator (order_id, kind, name) where user_id is null;
create unique index annotator_by_user on annotator (order_id, user_id) where user_id is not null;
create index annotator_with_run on annotator (run_state) where run_state in ('waiting', 'running');

-- id: the fence, random. expires_ms: on the monotonic clock of the boot of that name. A lease that has lapsed stays as long as nobody
-- answers under it: a late answer is still taken where the task needs one.
create table task_lease (
    id text primary key,
    order_id text not null,
    seq integer not null,
    annotator_id text not null,
    expires_ms integer not null,
    boot text not null,
    lapsed integer not null default 0,
    created_at real not null,
    unique (order_id, seq, annotator_id)
) strict, without rowid;

create index task_lease_held on task_lease (order_id, expires_ms) where lapsed = 0;
create index task_lease_of_annotator on task_lease (annotator_id, created_at);

-- answer: JSON. number: which of the annotator's it is.
create table response (
    order_id text not null,
    seq integer not null,
    annotator_id text not null,
    answer text not null,
    elapsed_ms integer,
    number integer not null,
    created_at real not null,
    primary key (order_id, seq, annotator_id)
) strict, without rowid;

create index response_of_annotator on response (annotator_id, number);

create table skip (
    order_id text not null,
    seq integer not null,
    annotator_id text not null,
    reason text,
    created_at real not null,
    primary key (order_id, seq, annotator_id)
) strict, without rowid;
