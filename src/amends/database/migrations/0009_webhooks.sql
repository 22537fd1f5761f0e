-- Telling others what happened: who is to be told, what, and how that went.

-- events: JSON list of types. secret: sealed under a key of the installation's; former_secret: the one before, which signs, too, until
-- then. failing_since: of a row of failures without one delivery. disabled_at: nothing is sent from then on. deleted_at: nobody sees
-- it any more, and its rows go in slices.
create table webhook (
    id text primary key,
    workspace_id text not null references workspace (id),
    url text not null,
    description text,
    events text not null,
    secret blob not null,
    former_secret blob,
    former_until real,
    failing_since real,
    disabled_at real,
    disabled_reason text,
    created_by text,
    created_at real not null,
    deleted_at real
) strict, without rowid;

create index webhook_of_workspace on webhook (workspace_id, id);

-- The outbox: a message to a webhook is written in the transaction of what it tells. message_id: the same for all webhooks that are
-- told, and at each try. state: pending, delivered, dead. tries: since it was last asked to be sent. attempts: in all.
create table webhook_delivery (
    id text primary key,
    workspace_id text not null,
    webhook_id text not null references webhook (id),
    message_id text not null,
    type text not null,
    body text not null,
    state text not null check (state in ('pending', 'delivered', 'dead')),
    tries integer not null,
    attempts integer not null,
    next_at real,
    created_at real not null,
    ended_at real
) strict, without rowid;

create index webhook_delivery_of_webhook on webhook_delivery (webhook_id, id);
create index webhook_delivery_due on webhook_delivery (next_at) where state = 'pending';
create index webhook_delivery_ended on webhook_delivery (ended_at) where ended_at is not null;

-- status: what was answered, null where nothing was; error: what was wrong then. answer: its first characters.
create table webhook_attempt (
    delivery_id text not null references webhook_delivery (id),
    number integer not null,
    at real not null,
    elapsed_ms integer not null,
    status integer,
    error text,
    answer text not null,
    primary key (delivery_id, number)
) strict, without rowid;
