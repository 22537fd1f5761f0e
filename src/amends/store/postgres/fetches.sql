-- What PostgreSQL takes in other words than SQLite, see ../fetches.sql.

-- name: insert_urls
insert into fetch_url (run_id, seq, url) select ?, column1, column2 from unnest(?::bigint[], ?::text[]) as rows (column1, column2);

-- name: insert_pending
insert into pending_datapoint (run_id, index_no, datapoint)
select ?, column1, column2 from unnest(?::bigint[], ?::text[]) as rows (column1, column2);

-- name: insert_fetched
insert into dataset_url (dataset_id, url_hash, sha256, filename)
select ?, column1, column2, column3 from unnest(?::text[], ?::text[], ?::text[]) as rows (column1, column2, column3)
on conflict do nothing;

-- name: urls_of_run
select coalesce(json_agg(json_build_array(seq, url)), '[]')::text from fetch_url
where run_id = :run_id and seq in (select jsonb_array_elements_text(:seqs::jsonb)::bigint);

-- name: problems_of
select coalesce(json_agg(json_build_array(url, problem)), '[]')::text from fetch_url
where run_id = :run_id and problem is not null and url in (select jsonb_array_elements_text(:urls::jsonb));

-- name: fetched_urls
select coalesce(json_agg(json_build_array(u.url_hash, u.filename, a.sha256, a.media_type, a.bytes, a.width, a.height)), '[]')::text
from dataset_url u join dataset_asset a on a.dataset_id = u.dataset_id and a.sha256 = u.sha256
where u.dataset_id = :dataset_id and u.url_hash in (select jsonb_array_elements_text(:hashes::jsonb));
