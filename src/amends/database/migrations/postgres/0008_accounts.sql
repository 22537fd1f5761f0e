-- The twin of SQLite's 0008.

alter table user_account add column email text collate "C";
alter table user_account add column password text;
alter table user_account add column role text not null default 'member' check (role in ('viewer', 'member', 'admin', 'owner'));
alter table user_account add column deleted_at double precision;

create unique index user_by_email on user_account (email) where email is not null;

update user_account set role = coalesce(
  (select role from api_key where user_id = user_account.id and revoked_at is null
   order by case role when 'owner' then 3 when 'admin' then 2 when 'member' then 1 else 0 end desc limit 1), 'member');

create table login_session (
    id text collate "C" primary key,
    workspace_id text collate "C" not null references workspace (id),
    user_id text collate "C" references user_account (id),
    key_id text collate "C" references api_key (id),
    role text not null check (role in ('viewer', 'member', 'admin', 'owner')),
    mode text not null check (mode in ('live', 'test')),
    digest bytea not null unique,
    generation bigint not null,
    created_at double precision not null,
    expires_at double precision not null
);

create index login_session_of_user on login_session (user_id) where user_id is not null;
create index login_session_of_key on login_session (key_id) where key_id is not null;
create index login_session_of_principal on login_session (coalesce(user_id, key_id), id);
create index login_session_expiry on login_session (expires_at);

create table invitation (
    id text collate "C" primary key,
    workspace_id text collate "C" not null references workspace (id),
    role text not null check (role in ('viewer', 'member', 'admin', 'owner')),
    email text collate "C",
    digest bytea not null unique,
    created_by text,
    created_at double precision not null,
    expires_at double precision not null,
    used_at double precision,
    used_by text
);

create index invitation_of_workspace on invitation (workspace_id, id);
