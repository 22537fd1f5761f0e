-- People who sign in: accounts, invitations, and what they are signed in by.

-- email: as it is compared (NFC, case folded), unique in the installation. password: what argon2id made of it, with its parameters;
-- null for a user who comes by keys only. deleted_at: what is left of somebody who is gone is the id.
alter table user_account add column email text;
alter table user_account add column password text;
alter table user_account add column role text not null default 'member' check (role in ('viewer', 'member', 'admin', 'owner'));
alter table user_account add column deleted_at real;

create unique index user_by_email on user_account (email) where email is not null;

-- Users have had no role of their own so far: the highest of their keys'.
update user_account set role = coalesce(
  (select role from api_key where user_id = user_account.id and revoked_at is null
   order by case role when 'owner' then 3 when 'admin' then 2 when 'member' then 1 else 0 end desc limit 1), 'member');

-- Who is signed in. A row goes with what it rests on: signed out, key revoked, password or role changed. digest: SHA-256 of the
-- secret in a page's cookie. generation: of the refresh token that is good now; an older one shows that somebody else has it.
-- user_id, key_id: who it is, either or both.
create table login_session (
    id text primary key,
    workspace_id text not null references workspace (id),
    user_id text references user_account (id),
    key_id text references api_key (id),
    role text not null check (role in ('viewer', 'member', 'admin', 'owner')),
    mode text not null check (mode in ('live', 'test')),
    digest blob not null unique,
    generation integer not null,
    created_at real not null,
    expires_at real not null
) strict, without rowid;

create index login_session_of_user on login_session (user_id) where user_id is not null;
create index login_session_of_key on login_session (key_id) where key_id is not null;
create index login_session_of_principal on login_session (coalesce(user_id, key_id), id);
create index login_session_expiry on login_session (expires_at);

-- digest: SHA-256 of the token, which is shown once. email: whom it is for, null for whoever brings it.
create table invitation (
    id text primary key,
    workspace_id text not null references workspace (id),
    role text not null check (role in ('viewer', 'member', 'admin', 'owner')),
    email text,
    digest blob not null unique,
    created_by text,
    created_at real not null,
    expires_at real not null,
    used_at real,
    used_by text
) strict, without rowid;

create index invitation_of_workspace on invitation (workspace_id, id);
