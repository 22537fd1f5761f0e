-- What is not runs and items: workspaces, users, keys, files, idempotency keys.
-- Times are seconds since the epoch (real); ids are the public ones.

create table workspace (
    id text primary key,
    name text not null unique,
    created_at real not null
) strict, without rowid;

create table user_account (
    id text primary key,
    workspace_id text not null references workspace (id),
    name text not null,
    created_at real not null,
    unique (workspace_id, name)
) strict, without rowid;

-- digest: SHA-256 of the whole key; the key itself is nowhere. hint: its first characters, to be recognised by.
create table api_key (
    id text primary key,
    workspace_id text not null references workspace (id),
    user_id text references user_account (id),
    name text,
    role text not null check (role in ('viewer', 'member', 'admin', 'owner')),
    mode text not null check (mode in ('live', 'test')),
    digest blob not null unique,
    hint text not null,
    created_at real not null,
    created_by text,
    revoked_at real
) strict, without rowid;

create index api_key_of_workspace on api_key (workspace_id, id);

-- sha256: the blob. pages: null where they cannot be counted. expires_at: null means never.
create table file (
    id text primary key,
    workspace_id text not null,
    filename text not null,
    media_type text not null,
    bytes integer not null,
    sha256 text not null,
    pages integer,
    purpose text not null,
    created_by text,
    created_at real not null,
    expires_at real
) strict, without rowid;

create index file_of_workspace on file (workspace_id, id);
create index file_by_content on file (sha256);
create index file_expiry on file (expires_at) where expires_at is not null;

-- scope: SHA-256 over workspace, method, path and key. key_hash: SHA-256 over workspace and key, for finding what it made.
-- holder: the fence of who claimed it; process: the owner's process that did, so that another knows the holder is dead.
-- status null: claimed, not answered. resource_id: what was created; such a row lives as long as that does (expires_at null).
create table idempotency (
    scope blob primary key,
    workspace_id text not null,
    key_hash blob not null,
    digest blob,
    holder text not null,
    process text not null,
    lease_until real not null,
    status integer,
    headers text,
    body blob,
    resource_id text,
    created_at real not null,
    expires_at real
) strict, without rowid;

create index idempotency_by_key on idempotency (workspace_id, key_hash);
create index idempotency_by_resource on idempotency (resource_id) where resource_id is not null;
create index idempotency_expiry on idempotency (expires_at) where expires_at is not null;
