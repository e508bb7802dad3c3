-- Said by people, derived from nothing: a rebuild leaves it alone.
create table recon.exceptions_work (
    episode     text primary key,
    sequence    integer not null,
    resolved_by text not null,
    notes       text not null,
    actor       text not null,
    resolved_at timestamptz not null
);
comment on table recon.exceptions_work is 'The last word of a person about an episode';
comment on column recon.exceptions_work.sequence is 'the transition it is about: it holds until there is another one';
comment on column recon.exceptions_work.actor is 'the name of the API key that was used';

create table recon.api_keys (
    id         text primary key,
    name       text not null,
    hash       bytea not null check (length(hash) = 32),
    role       text not null check (role in ('viewer', 'operator', 'approver')),
    rules      text[],
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);
comment on column recon.api_keys.hash is 'sha256 of the key; the key itself is kept nowhere';
comment on column recon.api_keys.rules is 'the rules it may see; null: every rule';
create unique index api_keys_name on recon.api_keys (name) where revoked_at is null;

create index episodes_key on recon.episodes (key);
