-- Resumable uploads (tus): what has arrived of a file so far. The bytes lie beside the blobs, under the upload's id.
-- metadata: the header Upload-Metadata as it came, which is told again. length: bytes in all. received: how many of them are durable, never more than lie on the disk. media_type: as declared, null where
-- it was not. expires_after: of the file, in seconds from when it is whole; null means never.
-- file_id: what it became; such a row lives as long as that does (expires_at null), so that a client that never heard of it can ask.
create table upload (
    id text primary key,
    workspace_id text not null,
    filename text not null,
    media_type text,
    purpose text not null,
    expires_after integer,
    metadata text not null,
    length integer not null,
    received integer not null default 0 check (received between 0 and length),
    file_id text,
    created_by text,
    created_at real not null,
    expires_at real,
    check ((file_id is null) = (expires_at is not null)),
    check (file_id is null or received = length)
) strict, without rowid;

create index upload_expiry on upload (expires_at) where expires_at is not null;
create index upload_of_file on upload (file_id) where file_id is not null;
