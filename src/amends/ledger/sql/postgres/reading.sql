-- What PostgreSQL takes in other words than SQLite, see ../sqlite/reading.sql.

-- name: lines_bytes
select coalesce(sum(octet_length(line)), 0)::bigint, count(*) from (
  select line from outcome where key > :after and key < :before and (:status is null or status = :status)
  order by key limit :limit) as next;

-- name: failed_lines_bytes
select coalesce(sum(octet_length(line)), 0)::bigint, count(*) from (
  select line from outcome
  where key > :after and key < :before and status = :status and status <> 'succeeded' order by key limit :limit) as next;

-- name: lines
select string_agg(convert_to(:head, 'UTF8') || line, '\x0a'::bytea order by key) || '\x0a'::bytea, count(*), max(key) from (
  select key, line from outcome where key > :after and key < :before and (:status is null or status = :status)
  order by key limit :limit) as next;

-- name: failed_lines
select string_agg(convert_to(:head, 'UTF8') || line, '\x0a'::bytea order by key) || '\x0a'::bytea, count(*), max(key) from (
  select key, line from outcome
  where key > :after and key < :before and status = :status and status <> 'succeeded' order by key limit :limit) as next;

-- name: lines_by_completion
select string_agg(convert_to(:head::text || '"cursor":"' || place || '",', 'UTF8') || line, '\x0a'::bytea order by place)
  || '\x0a'::bytea, count(*), max(place) from (
  select c.start + (o.key - (c.run_no << 32) - c.lo) as place, o.line
  from completion c join outcome o on o.key between (c.run_no << 32) + c.lo and (c.run_no << 32) + c.hi
  where c.run_no = :run_no
    and c.start >= coalesce((select max(start) from completion where run_no = :run_no and start <= :after + 1), 0)
    and c.start + (o.key - (c.run_no << 32) - c.lo) > :after
    and (:status is null or o.status = :status)
  order by c.start, o.key limit :limit) as next;

-- name: lines_by_completion_bytes
select coalesce(sum(octet_length(line)), 0)::bigint, count(*) from (
  select o.line
  from completion c join outcome o on o.key between (c.run_no << 32) + c.lo and (c.run_no << 32) + c.hi
  where c.run_no = :run_no
    and c.start >= coalesce((select max(start) from completion where run_no = :run_no and start <= :after + 1), 0)
    and c.start + (o.key - (c.run_no << 32) - c.lo) > :after
    and (:status is null or o.status = :status)
  order by c.start, o.key limit :limit) as next;

-- name: outcome_seqs
select coalesce(json_agg(key & 4294967295 order by key), '[]')::text from outcome where key between :lo and :hi;

-- name: failure_counts
select problem, count(*) from outcome
where key between :lo and :hi and status <> 'succeeded' group by problem order by count(*) desc, problem;

-- name: failure_examples
select line from outcome
where key between :lo and :hi and status <> 'succeeded' and problem = :problem order by key limit :limit;

-- name: failed_outcomes
select key & 4294967295, problem from outcome where key between :lo and :hi and status <> 'succeeded' order by key;

-- name: failed_items
select o.key & 4294967295, i.custom_id, i.payload
from outcome o join item i on i.key = o.key
where o.key > :after and o.key <= :last and o.status <> 'succeeded'
  and (:types is null or o.problem in (select jsonb_array_elements_text(:types::jsonb)))
  and (:custom_ids is null or i.custom_id in (select jsonb_array_elements_text(:custom_ids::jsonb)))
order by o.key limit :limit;

-- name: held_by_run
select custom_id from item_name
where run_no = :run_no and custom_id in (select jsonb_array_elements_text(:custom_ids::jsonb));
