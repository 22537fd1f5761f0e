-- name: count_webhooks
select count(*) from webhook where workspace_id = :workspace_id and deleted_at is null;

-- name: insert_webhook
insert into webhook (id, workspace_id, url, description, events, secret, created_by, created_at)
values (:id, :workspace_id, :url, :description, :events, :secret, :created_by, :created_at);

-- name: get_webhook
select id, workspace_id, url, description, events, secret, former_secret, former_until, failing_since, disabled_at,
  disabled_reason, created_by, created_at
from webhook where id = :id and workspace_id = :workspace_id and deleted_at is null;

-- name: list_webhooks
-- Newest first, those older than the webhook :after.
select id, workspace_id, url, description, events, secret, former_secret, former_until, failing_since, disabled_at,
  disabled_reason, created_by, created_at
from webhook where workspace_id = :workspace_id and deleted_at is null and (:after is null or id < :after)
order by id desc limit :limit;

-- name: update_webhook
update webhook set url = :url, description = :description, events = :events, disabled_at = :disabled_at,
  disabled_reason = :disabled_reason, failing_since = :failing_since
where id = :id and deleted_at is null;

-- name: rotate
-- Only from the secret that was looked at: of two who rotate at once, one is told.
update webhook set former_secret = secret, former_until = :former_until, secret = :secret
where id = :id and secret = :was and deleted_at is null;

-- name: delete_webhook
-- What could sign goes at once, the rest in slices.
update webhook set deleted_at = :now, secret = :nothing, former_secret = null
where id = :id and workspace_id = :workspace_id and deleted_at is null;

-- name: listeners
select id, events from webhook where workspace_id = :workspace_id and disabled_at is null and deleted_at is null order by id;

-- name: listening_workspaces
select distinct workspace_id from webhook where disabled_at is null and deleted_at is null;

-- name: insert_delivery
insert into webhook_delivery (id, workspace_id, webhook_id, message_id, type, body, state, tries, attempts, next_at, created_at)
values (:id, :workspace_id, :webhook_id, :message_id, :type, :body, 'pending', 0, 0, :now, :now);

-- name: due_deliveries
-- The longest due first. :busy is a JSON array of webhooks that are being told something: one at a time each.
select id, workspace_id, webhook_id, message_id, type, body, state, tries, attempts, next_at, created_at, ended_at
from webhook_delivery
where state = 'pending' and next_at <= :now and webhook_id not in (select value from json_each(:busy))
order by next_at limit :limit;

-- name: get_delivery
select id, workspace_id, webhook_id, message_id, type, body, state, tries, attempts, next_at, created_at, ended_at
from webhook_delivery where id = :id and webhook_id = :webhook_id;

-- name: list_deliveries
-- Newest first, those older than the delivery :after.
select id, workspace_id, webhook_id, message_id, type, body, state, tries, attempts, next_at, created_at, ended_at
from webhook_delivery
where webhook_id = :webhook_id and (:after is null or id < :after) and (:state is null or state = :state)
order by id desc limit :limit;

-- name: attempts
select number, at, elapsed_ms, status, error, answer from webhook_attempt where delivery_id = :delivery_id order by number;

-- name: insert_attempt
insert into webhook_attempt (delivery_id, number, at, elapsed_ms, status, error, answer)
values (:delivery_id, :number, :at, :elapsed_ms, :status, :error, :answer);

-- name: set_delivery
-- Only as it was when the attempt began: what was tried is counted once.
update webhook_delivery set state = :state, tries = tries + 1, attempts = attempts + 1, next_at = :next_at, ended_at = :ended_at
where id = :id and attempts = :attempts;

-- name: send_again
update webhook_delivery set state = 'pending', tries = 0, next_at = :now, ended_at = null where id = :id and webhook_id = :webhook_id;

-- name: drop_pending
update webhook_delivery set state = 'dead', next_at = null, ended_at = :now where webhook_id = :webhook_id and state = 'pending';

-- name: note_delivered
update webhook set failing_since = null where id = :id and failing_since is not null;

-- name: note_failed
update webhook set failing_since = coalesce(failing_since, :now) where id = :id;

-- name: disable
update webhook set disabled_at = :now, disabled_reason = :reason where id = :id and disabled_at is null;

-- name: backlog
select state, count(*) from webhook_delivery where state in ('pending', 'dead') group by state;

-- name: outdated_deliveries
select d.id from webhook_delivery d
where d.ended_at < :before or d.webhook_id in (select id from webhook where deleted_at is not null)
limit :limit;

-- name: delete_attempts
delete from webhook_attempt where delivery_id in (select value from json_each(:ids));

-- name: delete_deliveries
delete from webhook_delivery where id in (select value from json_each(:ids));

-- name: delete_gone
delete from webhook where deleted_at is not null and not exists (select 1 from webhook_delivery where webhook_id = webhook.id);
