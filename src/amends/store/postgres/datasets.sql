-- What PostgreSQL takes in other words than SQLite, see ../datasets.sql.

-- name: lock_dataset
-- Two calls add to it one after the other, so that the second sees what the first has added.
select id from dataset where id = ? for update;

-- name: datapoints_at
select id, dataset_id, seq, identity, data_type, assets, context, media_context, sentence, private_metadata, group_name,
  answer_options, created_at
from datapoint where dataset_id = :dataset_id and seq in (select jsonb_array_elements_text(:seqs::jsonb)::bigint) order by seq;

-- name: known_identities
select coalesce(json_agg(json_build_array(identity, id)), '[]')::text from datapoint
where dataset_id = :dataset_id and identity in (select jsonb_array_elements_text(:identities::jsonb));

-- name: insert_datapoints
insert into datapoint (dataset_id, created_at, id, seq, identity, data_type, assets, context, media_context, sentence,
  private_metadata, group_name, answer_options)
select ?, ?::double precision, column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11
from unnest(?::text[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
  ?::text[]) as rows (column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11);

-- name: insert_assets
insert into dataset_asset (dataset_id, workspace_id, sha256, media_type, bytes, width, height)
select ?, ?, column1, column2, column3, column4, column5
from unnest(?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::bigint[]) as rows (column1, column2, column3, column4, column5)
on conflict do nothing;

-- name: known_assets
select coalesce(json_agg(json_build_array(sha256, media_type, bytes, width, height)), '[]')::text from (
  select distinct sha256, media_type, bytes, width, height from dataset_asset
  where workspace_id = :workspace_id and sha256 in (select jsonb_array_elements_text(:digests::jsonb))) as known;

-- name: used_blobs
select coalesce(json_agg(value), '[]')::text from jsonb_array_elements_text(:digests::jsonb) as digests (value)
where exists (select 1 from dataset_asset where sha256 = value);
