-- name: schema
-- secret: what the idempotency keys are made from; a new one when the journal is cleared, so that the same work can be done anew.
create table about (secret blob not null) strict;

-- What was called, found again by what is sent and how many equal calls came before it. answer: null while it is under way.
-- received, total: bytes of an upload that have arrived. ids: of a batch's items, in the table below.
create table entry (
    fingerprint blob not null,
    ordinal integer not null,
    call text not null,
    content text not null,
    key text not null,
    received integer,
    total integer,
    answer blob,
    resource_id text,
    begun_at real not null,
    finished_at real,
    primary key (fingerprint, ordinal)
) strict, without rowid;

create index entry_of_resource on entry (resource_id) where resource_id is not null;

-- custom_ids of a batch, compressed, some thousands a row.
create table sent (
    fingerprint blob not null,
    ordinal integer not null,
    part integer not null,
    custom_ids blob not null,
    primary key (fingerprint, ordinal, part)
) strict, without rowid;

-- name: set_secret
insert into about (secret) values (:secret);

-- name: secret
select secret from about;

-- name: entry
select key, answer from entry where fingerprint = :fingerprint and ordinal = :ordinal;

-- name: begin
insert into entry (fingerprint, ordinal, call, content, key, total, begun_at)
values (:fingerprint, :ordinal, :call, :content, :key, :total, :now);

-- name: sent
insert into sent (fingerprint, ordinal, part, custom_ids) values (:fingerprint, :ordinal, :part, :custom_ids);

-- name: note
update entry set received = :received where fingerprint = :fingerprint and ordinal = :ordinal;

-- name: finish
update entry set answer = :answer, resource_id = :resource_id, finished_at = :now, received = total
where fingerprint = :fingerprint and ordinal = :ordinal;

-- name: custom_ids
select custom_ids from sent join entry using (fingerprint, ordinal) where resource_id = :resource_id order by part;

-- name: entries
select call, content, key, ordinal, received, total, resource_id, begun_at, finished_at from entry order by begun_at, key;

-- name: clear
delete from entry;
delete from sent;
delete from about;
