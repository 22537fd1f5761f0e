-- The twin of SQLite's 0009.

create table webhook (
    id text collate "C" primary key,
    workspace_id text collate "C" not null references workspace (id),
    url text not null,
    description text,
    events text not null,
    secret bytea not null,
    former_secret bytea,
    former_until double precision,
    failing_since double precision,
    disabled_at double precision,
    disabled_reason text,
    created_by text,
    created_at double precision not null,
    deleted_at double precision
);

create index webhook_of_workspace on webhook (workspace_id, id);

create table webhook_delivery (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    webhook_id text collate "C" not null references webhook (id),
    message_id text collate "C" not null,
    type text not null,
    body text not null,
    state text not null check (state in ('pending', 'delivered', 'dead')),
    tries bigint not null,
    attempts bigint not null,
    next_at double precision,
    created_at double precision not null,
    ended_at double precision
);

create index webhook_delivery_of_webhook on webhook_delivery (webhook_id, id);
create index webhook_delivery_due on webhook_delivery (next_at) where state = 'pending';
create index webhook_delivery_ended on webhook_delivery (ended_at) where ended_at is not null;

create table webhook_attempt (
    delivery_id text collate "C" not null references webhook_delivery (id),
    number bigint not null,
    at double precision not null,
    elapsed_ms bigint not null,
    status bigint,
    error text,
    answer text not null,
    primary key (delivery_id, number)
);
