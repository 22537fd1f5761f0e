-- name: insert_fetch
insert into dataset_fetch (run_id, dataset_id, workspace_id, created_at) values (:run_id, :dataset_id, :workspace_id, :now);

-- name: insert_urls
insert into fetch_url (run_id, seq, url) select ?1, column1, column2 from

-- name: insert_pending
insert into pending_datapoint (run_id, index_no, datapoint) select ?1, column1, column2 from

-- name: get_fetch
select run_id, dataset_id, workspace_id, read_to, settled_at, created_at
from dataset_fetch where run_id = :run_id and workspace_id = :workspace_id;

-- name: unsettled_fetches
-- The oldest first, of all workspaces.
select run_id, dataset_id, workspace_id, read_to, settled_at, created_at
from dataset_fetch where settled_at is null order by created_at limit :limit;

-- name: read_on
update dataset_fetch set read_to = :read_to where run_id = :run_id and read_to < :read_to;

-- name: insert_fetched
-- A URL that is fetched once more leads where it led before: the datapoints that stand say so.
insert or ignore into dataset_url (dataset_id, url_hash, sha256, filename) select ?1, column1, column2, column3 from

-- name: set_problem
update fetch_url set problem = :problem where run_id = :run_id and seq = :seq;

-- name: urls_of_run
-- [[seq, url], …] of those :seqs, a JSON array, in one.
select json_group_array(json_array(seq, url)) from fetch_url
where run_id = :run_id and seq in (select value from json_each(:seqs));

-- name: problems_of
-- [[url, problem], …] of URLs that were not fetched, among those of :urls, a JSON array.
select json_group_array(json_array(url, problem)) from fetch_url
where run_id = :run_id and problem is not null and url in (select value from json_each(:urls));

-- name: fetched_urls
-- [[url_hash, filename, sha256, media_type, bytes, width, height], …] of those of :hashes, a JSON array.
select json_group_array(json_array(u.url_hash, u.filename, a.sha256, a.media_type, a.bytes, a.width, a.height))
from dataset_url u join dataset_asset a on a.dataset_id = u.dataset_id and a.sha256 = u.sha256
where u.dataset_id = :dataset_id and u.url_hash in (select value from json_each(:hashes));

-- name: waiting_datapoints
select index_no, datapoint from pending_datapoint where run_id = :run_id and status is null order by index_no limit :limit;

-- name: settle_datapoint
update pending_datapoint set status = :status, datapoint_id = :datapoint_id, problem = :problem, pointer = :pointer
where run_id = :run_id and index_no = :index_no and status is null;

-- name: settle_fetch
update dataset_fetch set settled_at = :now where run_id = :run_id and settled_at is null
  and not exists (select 1 from pending_datapoint where run_id = :run_id and status is null);

-- name: outcomes
select index_no, status, datapoint_id, problem, pointer from pending_datapoint where run_id = :run_id order by index_no;

-- name: fetches_of_dataset
select run_id from dataset_fetch where dataset_id = :dataset_id limit :limit;

-- name: outdated_fetches
select run_id from dataset_fetch where settled_at < :before order by settled_at limit :limit;

-- name: delete_pending
delete from pending_datapoint where run_id = ?;

-- name: delete_urls
delete from fetch_url where run_id = ?;

-- name: delete_fetch
delete from dataset_fetch where run_id = ?;
