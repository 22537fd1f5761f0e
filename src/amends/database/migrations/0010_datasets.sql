-- Datasets: what is shown to people who label it. A datapoint never changes, and goes only with its dataset.

-- datapoints: how many it has, which is also the seq of the last one. deleted_at: when it became invisible; its rows go by and by.
create table dataset (
    id text primary key,
    workspace_id text not null,
    name text not null,
    created_by text,
    created_at real not null,
    datapoints integer not null default 0,
    deleted_at real
) strict, without rowid;

create unique index dataset_by_name on dataset (workspace_id, name) where deleted_at is null;
create index dataset_of_workspace on dataset (workspace_id, id) where deleted_at is null;
create index dataset_deleted on dataset (deleted_at) where deleted_at is not null;

-- identity: SHA-256 over all by which two datapoints of a dataset are the same. assets, media_context: JSON arrays of assets.
-- private_metadata, answer_options: JSON.
create table datapoint (
    id text primary key,
    dataset_id text not null,
    seq integer not null,
    identity text not null,
    data_type text not null check (data_type in ('media', 'text')),
    assets text not null,
    context text,
    media_context text not null,
    sentence text,
    private_metadata text,
    group_name text,
    answer_options text,
    created_at real not null
) strict, without rowid;

create unique index datapoint_by_seq on datapoint (dataset_id, seq);
create unique index datapoint_by_identity on datapoint (dataset_id, identity);

-- The contents that a dataset holds, each looked at once: nothing that stands here is swept. width, height: of an image as it is shown.
create table dataset_asset (
    dataset_id text not null,
    sha256 text not null,
    workspace_id text not null,
    media_type text not null,
    bytes integer not null,
    width integer,
    height integer,
    primary key (dataset_id, sha256)
) strict, without rowid;

create index dataset_asset_by_content on dataset_asset (sha256, workspace_id);

-- What a dataset's URLs led to. url_hash: SHA-256 of the URL, which may be longer than a key.
create table dataset_url (
    dataset_id text not null,
    url_hash text not null,
    sha256 text not null,
    filename text,
    primary key (dataset_id, url_hash)
) strict, without rowid;

-- A run that fetches what datapoints wait for. read_to: as far as its outcomes were taken over, in their order of completion.
-- settled_at: when the last of the datapoints that waited had its outcome.
create table dataset_fetch (
    run_id text primary key,
    dataset_id text not null,
    workspace_id text not null,
    read_to integer not null default -1,
    settled_at real,
    created_at real not null
) strict, without rowid;

create index dataset_fetch_of_dataset on dataset_fetch (dataset_id);
create index dataset_fetch_unsettled on dataset_fetch (created_at) where settled_at is null;
create index dataset_fetch_settled on dataset_fetch (settled_at) where settled_at is not null;

-- The URL of each of its items. problem: JSON, of one that was not fetched.
create table fetch_url (
    run_id text not null,
    seq integer not null,
    url text not null,
    problem text,
    primary key (run_id, seq)
) strict, without rowid;

-- index_no: the datapoint's place in the call that it came by. datapoint: JSON, with what of its assets was known then.
-- status: null while it waits, then created, existing or failed; problem: JSON; pointer: which of its assets it is about.
create table pending_datapoint (
    run_id text not null,
    index_no integer not null,
    datapoint text not null,
    status text,
    datapoint_id text,
    problem text,
    pointer text,
    primary key (run_id, index_no)
) strict, without rowid;

create index pending_datapoint_waiting on pending_datapoint (run_id, index_no) where status is null;
