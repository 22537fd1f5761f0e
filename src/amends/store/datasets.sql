-- name: insert_dataset
-- Nothing changes where the workspace has one of that name.
insert into dataset (id, workspace_id, name, created_by, created_at) values (:id, :workspace_id, :name, :created_by, :created_at)
on conflict do nothing;

-- name: get_dataset
select id, workspace_id, name, created_by, created_at, datapoints
from dataset where id = :id and workspace_id = :workspace_id and deleted_at is null;

-- name: named_dataset
select id, workspace_id, name, created_by, created_at, datapoints
from dataset where workspace_id = :workspace_id and name = :name and deleted_at is null;

-- name: list_datasets
-- Newest first, those older than the dataset :after.
select id, workspace_id, name, created_by, created_at, datapoints
from dataset where workspace_id = :workspace_id and deleted_at is null and (:after is null or id < :after)
order by id desc limit :limit;

-- name: delete_dataset
update dataset set deleted_at = :now where id = :id and workspace_id = :workspace_id and deleted_at is null;

-- name: is_standing
select 1 from dataset where id = :id and deleted_at is null;

-- name: count_datapoints
select datapoints from dataset where id = ?;

-- name: take_places
-- The next :places seqs are the caller's, who looked whether the dataset stands.
update dataset set datapoints = datapoints + :places where id = :id and deleted_at is null;

-- name: get_datapoint
select p.id, p.dataset_id, p.seq, p.identity, p.data_type, p.assets, p.context, p.media_context, p.sentence,
  p.private_metadata, p.group_name, p.answer_options, p.created_at
from datapoint p join dataset d on d.id = p.dataset_id
where p.id = :id and d.workspace_id = :workspace_id and d.deleted_at is null;

-- name: list_datapoints
-- In the order in which they were added.
select id, dataset_id, seq, identity, data_type, assets, context, media_context, sentence, private_metadata, group_name,
  answer_options, created_at
from datapoint where dataset_id = :dataset_id and seq > :after_seq order by seq limit :limit;

-- name: datapoints_at
-- Those of :seqs, a JSON array.
select id, dataset_id, seq, identity, data_type, assets, context, media_context, sentence, private_metadata, group_name,
  answer_options, created_at
from datapoint where dataset_id = :dataset_id and seq in (select value from json_each(:seqs)) order by seq;

-- name: newest_datapoints
-- Newest first, those older than the datapoint :after.
select id, dataset_id, seq, identity, data_type, assets, context, media_context, sentence, private_metadata, group_name,
  answer_options, created_at
from datapoint
where dataset_id = :dataset_id
  and (:after is null or seq < (select seq from datapoint where id = :after and dataset_id = :dataset_id))
order by seq desc limit :limit;

-- name: known_identities
-- :identities is a JSON array; the answer is one JSON array of [identity, id].
select json_group_array(json_array(identity, id)) from datapoint
where dataset_id = :dataset_id and identity in (select value from json_each(:identities));

-- name: insert_datapoints
insert into datapoint (dataset_id, created_at, id, seq, identity, data_type, assets, context, media_context, sentence,
  private_metadata, group_name, answer_options)
select ?1, ?2, column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11 from

-- name: insert_assets
-- Nothing changes where the dataset has the content.
insert or ignore into dataset_asset (dataset_id, workspace_id, sha256, media_type, bytes, width, height)
select ?1, ?2, column1, column2, column3, column4, column5 from

-- name: known_assets
-- Contents that any dataset of the workspace has: :digests is a JSON array, the answer one of
-- [sha256, media_type, bytes, width, height].
select json_group_array(json_array(sha256, media_type, bytes, width, height)) from (
  select distinct sha256, media_type, bytes, width, height from dataset_asset
  where workspace_id = :workspace_id and sha256 in (select value from json_each(:digests)));

-- name: used_blobs
-- :digests is a JSON array; the answer is one JSON array of those that a dataset of any workspace has.
select json_group_array(value) from json_each(:digests) where exists (select 1 from dataset_asset where sha256 = value);

-- name: deleted_datasets
select id from dataset where deleted_at is not null order by deleted_at limit :limit;

-- name: clear_datapoints
delete from datapoint where id in (select id from datapoint where dataset_id = :dataset_id limit :limit);

-- name: clear_assets
delete from dataset_asset where dataset_id = :dataset_id and sha256 in (
  select sha256 from dataset_asset where dataset_id = :dataset_id limit :limit);

-- name: clear_urls
delete from dataset_url where dataset_id = :dataset_id and url_hash in (
  select url_hash from dataset_url where dataset_id = :dataset_id limit :limit);

-- name: clear_dataset
delete from dataset where id = :dataset_id and deleted_at is not null;
