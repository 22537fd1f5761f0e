-- The twin of SQLite's 0002.

create table workspace (
    id text collate "C" primary key,
    name text collate "C" not null unique,
    created_at double precision not null
);

create table user_account (
    id text collate "C" primary key,
    workspace_id text collate "C" not null references workspace (id),
    name text collate "C" not null,
    created_at double precision not null,
    unique (workspace_id, name)
);

create table api_key (
    id text collate "C" primary key,
    workspace_id text collate "C" not null references workspace (id),
    user_id text collate "C" references user_account (id),
    name text,
    role text not null check (role in ('viewer', 'member', 'admin', 'owner')),
    mode text not null check (mode in ('live', 'test')),
    digest bytea not null unique,
    hint text not null,
    created_at double precision not null,
    created_by text,
    revoked_at double precision
);

create index api_key_of_workspace on api_key (workspace_id, id);

create table file (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    filename text not null,
    media_type text not null,
    bytes bigint not null,
    sha256 text collate "C" not null,
    pages bigint,
    purpose text not null,
    created_by text,
    created_at double precision not null,
    expires_at double precision
);

create index file_of_workspace on file (workspace_id, id);
create index file_by_content on file (sha256);
create index file_expiry on file (expires_at) where expires_at is not null;

create table idempotency (
    scope bytea primary key,
    workspace_id text collate "C" not null,
    key_hash bytea not null,
    digest bytea,
    holder text not null,
    process text not null,
    lease_until double precision not null,
    status bigint,
    headers text,
    body bytea,
    resource_id text collate "C",
    created_at double precision not null,
    expires_at double precision
);

create index idempotency_by_key on idempotency (workspace_id, key_hash);
create index idempotency_by_resource on idempotency (resource_id) where resource_id is not null;
create index idempotency_expiry on idempotency (expires_at) where expires_at is not null;
