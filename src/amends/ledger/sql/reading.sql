-- name: item_page
select key & 4294967295, custom_id, payload from item where key > :after and key <= :last order by key limit :limit;

-- name: lines_bytes
-- How much the next lines weigh: (bytes, count).
select coalesce(sum(octet_length(line)), 0), count(*) from (
  select line from outcome where key > :after and key < :before and (:status is null or status = :status)
  order by key limit :limit);

-- name: failed_lines_bytes
select coalesce(sum(octet_length(line)), 0), count(*) from (
  select line from outcome indexed by outcome_failed
  where key > :after and key < :before and status = :status and status <> 'succeeded' order by key limit :limit);

-- name: lines
-- The next result lines as they are streamed: (lines, count, last key).
select cast(group_concat(:head || line, char(10)) || char(10) as blob), count(*), max(key) from (
  select key, line from outcome where key > :after and key < :before and (:status is null or status = :status)
  order by key limit :limit);

-- name: failed_lines
select cast(group_concat(:head || line, char(10)) || char(10) as blob), count(*), max(key) from (
  select key, line from outcome indexed by outcome_failed
  where key > :after and key < :before and status = :status and status <> 'succeeded' order by key limit :limit);

-- name: lines_by_completion
-- As committed: (lines, count, last place). Each names its cursor.
select cast(group_concat(:head || '"cursor":"' || place || '",' || line, char(10)) || char(10) as blob), count(*), max(place) from (
  select c.start + (o.key - (c.run_no << 32) - c.lo) as place, o.line
  from completion c join outcome o on o.key between (c.run_no << 32) + c.lo and (c.run_no << 32) + c.hi
  where c.run_no = :run_no
    and c.start >= coalesce((select max(start) from completion where run_no = :run_no and start <= :after + 1), 0)
    and c.start + (o.key - (c.run_no << 32) - c.lo) > :after
    and (:status is null or o.status = :status)
  order by c.start, o.key limit :limit);

-- name: lines_by_completion_bytes
select coalesce(sum(octet_length(line)), 0), count(*) from (
  select o.line
  from completion c join outcome o on o.key between (c.run_no << 32) + c.lo and (c.run_no << 32) + c.hi
  where c.run_no = :run_no
    and c.start >= coalesce((select max(start) from completion where run_no = :run_no and start <= :after + 1), 0)
    and c.start + (o.key - (c.run_no << 32) - c.lo) > :after
    and (:status is null or o.status = :status)
  order by c.start, o.key limit :limit);

-- name: lowest_pending
select min(lo) from pending where run_no = ?;

-- name: lowest_deferred
select min(key) & 4294967295 from deferred where run_no = ?;

-- name: leased_spans
select lo, hi from lease where run_no = ? and lo is not null;

-- name: outcome_seqs
select json_group_array(key & 4294967295) from (select key from outcome where key between :lo and :hi order by key);

-- name: item_by_name
select i.key, i.custom_id, i.payload, i.input_hash
from item_name n join item i on i.key = (n.run_no << 32) | n.seq where n.run_no = :run_no and n.custom_id = :custom_id;

-- name: origin_of
select origin from item_origin where run_no = :run_no and seq = :seq;

-- name: outcome_of
select line, ended_at from outcome where key = ?;

-- name: deferral_of
select lease_id from deferred where key = ?;

-- name: pending_with
-- Whether an unleased span holds a seq (see pending_spans_with).
select hi >= :seq from pending where run_no = :run_no and lo <= :seq order by lo desc limit 1;

-- name: attempts_of
select key & 4294967295, number, at, problem from attempt where key = ? order by number;

-- name: deaths_of
select deaths from suspect where key = ?;

-- name: failure_counts
select problem, count(*) from outcome indexed by outcome_failed
where key between :lo and :hi and status <> 'succeeded' group by problem order by count(*) desc, problem;

-- name: failure_examples
select line from outcome indexed by outcome_failed
where key between :lo and :hi and status <> 'succeeded' and problem = :problem order by key limit :limit;

-- name: failed_outcomes
-- Failed items of a run: (seq, problem).
select key & 4294967295, problem from outcome indexed by outcome_failed
where key between :lo and :hi and status <> 'succeeded' order by key;

-- name: failed_items
-- Failed items of a run that was never retried: (seq, custom_id, payload).
select o.key & 4294967295, i.custom_id, i.payload
from outcome o indexed by outcome_failed join item i on i.key = o.key
where o.key > :after and o.key <= :last and o.status <> 'succeeded'
  and (:types is null or o.problem in (select value from json_each(:types)))
  and (:custom_ids is null or i.custom_id in (select value from json_each(:custom_ids)))
order by o.key limit :limit;

-- name: has_children
select exists (select 1 from run where root_id = :root_id and parent_id is not null and state <> 'receiving' and deleted = 0);

-- name: lineage
-- The runs of a lineage that show results, oldest first: (no, id, whether their lines are there).
select no, id, lines_deleted_at is null from run where root_id = :root_id and state <> 'receiving' and deleted = 0 order by no;

-- name: origins_of_run
-- (seq, origin) of a retry.
select seq, origin from item_origin where run_no = :run_no and origin between :lo and :hi;

-- name: child_outcomes
-- A retry's outcomes by their place in the root: (origin, status, problem, line, key).
select io.origin, o.status, o.problem, o.line, o.key
from item_origin io join outcome o on o.key = (io.run_no << 32) | io.seq
where io.run_no = :run_no and io.origin between :lo and :hi;

-- name: root_outcomes
select key & 4294967295, status, problem, line, key from outcome where key between :lo and :hi;

-- name: item_of
select custom_id, payload from item where key = ?;

-- name: held_by_run
-- Which of the custom_ids a run holds.
select custom_id from item_name where run_no = :run_no and custom_id in (select value from json_each(:custom_ids));
