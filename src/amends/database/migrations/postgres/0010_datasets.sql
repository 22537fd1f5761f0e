-- The twin of SQLite's 0010.

create table dataset (
    id text collate "C" primary key,
    workspace_id text collate "C" not null,
    name text not null,
    created_by text,
    created_at double precision not null,
    datapoints bigint not null default 0,
    deleted_at double precision
);

create unique index dataset_by_name on dataset (workspace_id, name) where deleted_at is null;
create index dataset_of_workspace on dataset (workspace_id, id) where deleted_at is null;
create index dataset_deleted on dataset (deleted_at) where deleted_at is not null;

create table datapoint (
    id text collate "C" primary key,
    dataset_id text collate "C" not null,
    seq bigint not null,
    identity text collate "C" not null,
    data_type text not null check (data_type in ('media', 'text')),
    assets text not null,
    context text,
    media_context text not null,
    sentence text,
    private_metadata text,
    group_name text,
    answer_options text,
    created_at double precision not null
);

create unique index datapoint_by_seq on datapoint (dataset_id, seq);
create unique index datapoint_by_identity on datapoint (dataset_id, identity);

create table dataset_asset (
    dataset_id text collate "C" not null,
    sha256 text collate "C" not null,
    workspace_id text collate "C" not null,
    media_type text not null,
    bytes bigint not null,
    width bigint,
    height bigint,
    primary key (dataset_id, sha256)
);

create index dataset_asset_by_content on dataset_asset (sha256, workspace_id);

create table dataset_url (
    dataset_id text collate "C" not null,
    url_hash text collate "C" not null,
    sha256 text collate "C" not null,
    filename text,
    primary key (dataset_id, url_hash)
);

create table dataset_fetch (
    run_id text collate "C" primary key,
    dataset_id text collate "C" not null,
    workspace_id text collate "C" not null,
    read_to bigint not null default -1,
    settled_at double precision,
    created_at double precision not null
);

create index dataset_fetch_of_dataset on dataset_fetch (dataset_id);
create index dataset_fetch_unsettled on dataset_fetch (created_at) where settled_at is null;
create index dataset_fetch_settled on dataset_fetch (settled_at) where settled_at is not null;

create table fetch_url (
    run_id text collate "C" not null,
    seq bigint not null,
    url text not null,
    problem text,
    primary key (run_id, seq)
);

create table pending_datapoint (
    run_id text collate "C" not null,
    index_no bigint not null,
    datapoint text not null,
    status text,
    datapoint_id text,
    problem text,
    pointer text,
    primary key (run_id, index_no)
);

create index pending_datapoint_waiting on pending_datapoint (run_id, index_no) where status is null;
