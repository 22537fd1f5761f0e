-- The twin of SQLite's 0004.

create table upload (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    filename text not null,
    media_type text,
    purpose text not null,
    expires_after bigint,
    metadata text not null,
    length bigint not null,
    received bigint not null default 0 check (received between 0 and length),
    file_id text collate "C",
    created_by text,
    created_at double precision not null,
    expires_at double precision,
    check ((file_id is null) = (expires_at is not null)),
    check (file_id is null or received = length)
);

create index upload_expiry on upload (expires_at) where expires_at is not null;
create index upload_of_file on upload (file_id) where file_id is not null;
